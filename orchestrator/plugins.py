"""Plug-ins by name: microscopes, detectors, policies, of this package and of anybody's.

Each is an entry point of an installed distribution, in one of three groups, and names a factory. Built-ins come in by
the same door. Nothing is imported before it is asked for.
"""

from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..protocols.errors import BadInput

GROUPS = ("epicycle.microscopes", "epicycle.detectors", "epicycle.policies")

Factory = Callable[[Any], Any]
"""Options (for a microscope: its installation) in, the object out."""


def names(group: str) -> tuple[str, ...]:
    """Give the names of all plug-ins of a group, sorted; raises BadInput for an unknown group."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str) -> Factory:
    """Import a plug-in and give its factory.

    Parameters
    ----------
    group
        ``epicycle.microscopes``, ``epicycle.detectors`` or ``epicycle.policies``.
    name
        Its name there, as a protocol says it in ``use``.

    Raises
    ------
    BadInput
        Unknown group or name, two plug-ins of that name, or one that cannot be imported or called.
    """
    found = _found(group)
    kind = group.rpartition(".")[2]
    if name not in found:
        listed = ", ".join(sorted(found)) or "none is installed"
        raise BadInput(f"No plug-in named {name!r} among the {kind}. Known: {listed}.")
    candidates = found[name]
    if len(candidates) > 1:
        givers = " and ".join(sorted(f"{_origin(entry)} ({entry.value})" for entry in candidates))
        raise BadInput(f"Two plug-ins are named {name!r} among the {kind}: {givers}. Uninstall one.")
    return _imported(candidates[0], kind)


def versions() -> dict[str, str]:
    """Give the distribution and version behind every plug-in, by ``group/name``, for the session's record."""
    return {
        f"{group.rpartition('.')[2]}/{name}": " and ".join(sorted(_origin(entry) for entry in candidates))
        for group in GROUPS
        for name, candidates in sorted(_found(group).items())
    }


def _found(group: str) -> dict[str, list[EntryPoint]]:
    if group not in GROUPS:
        raise BadInput(f"There is no group of plug-ins named {group!r}. Known: {', '.join(GROUPS)}.")
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=group):
        if entry.value not in [known.value for known in found[entry.name]]:  # one installation seen by two paths
            found[entry.name].append(entry)
    return dict(found)


def _imported(entry: EntryPoint, kind: str) -> Factory:
    try:
        factory = entry.load()
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"The plug-in {entry.name!r} among the {kind}, from {_origin(entry)}, cannot be imported: {error}. "
            "Install what it needs or choose another."
        ) from error
    if not callable(factory):
        raise BadInput(
            f"The plug-in {entry.name!r} among the {kind}, {entry.value}, is not a factory that can be called."
        )
    made: Factory = factory
    return made


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown distribution"
