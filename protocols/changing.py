"""Changing one value of a protocol while its night runs."""

import json
from typing import Any

from pydantic import ValidationError

from .document import scalar
from .errors import BadInput
from .explaining import check, explain
from .screening import PluginChoice, ScreeningProtocol
from .words import Path, dotted, every_field, field_at, probably_meant, section_at

OPENED_WITH = "the session was opened with it"
ALIKE = "all grids of a night are surveyed alike, so that they can be compared"
LOADED = "plug-ins are loaded, and their versions recorded, when the session begins"
PLANNED = "the shots of a hole are planned together, so that none lights another"
MODEL_OF_TIME = "the same seed must give the same record"

FIXED: dict[str, str] = {
    "name": OPENED_WITH,
    "description": OPENED_WITH,
    "session": OPENED_WITH,
    "microscope": OPENED_WITH,
    "rehearsal": OPENED_WITH,
    "passes[].name": OPENED_WITH,
    "depth": ALIKE,
    "atlas": ALIKE,
    "presets": ALIKE,
    "squares.finder": LOADED,
    "squares.policy": LOADED,
    "holes.finder": LOADED,
    "holes.policy": LOADED,
    "passes[].policy": LOADED,
    "passes[].shots_per_hole": PLANNED,
    "exposure.shots_per_hole": PLANNED,
    "exposure.shot_offsets_um": PLANNED,
    "analysis.judge": LOADED,
    "analysis.workers": "the analysis processes are started when the session begins",
    "analysis.mean_free_path_nm": "ice thicknesses of one night must be measured with the same constant",
    "analysis.find_squares_s": MODEL_OF_TIME,
    "analysis.find_holes_s": MODEL_OF_TIME,
    "analysis.judge_s": MODEL_OF_TIME,
}
"""What stays as it is during a night, and why; a section stands for all it holds. Everything else may change."""


def changeable() -> tuple[str, ...]:
    """Give the dotted names of all fields that may change during a night; ``[]`` stands for any pass."""
    return tuple(
        name
        for name, _ in every_field(ScreeningProtocol)
        if _why_fixed(name) is None and _is_value(tuple(name.replace("[]", ".0").split(".")))
    )


def changed(protocol: ScreeningProtocol, dotted_path: str, value: Any) -> ScreeningProtocol:
    """Give the protocol with one value changed; the one given stays as it is.

    Parameters
    ----------
    protocol
        As it stands.
    dotted_path
        The field, ``holes.per_square``; a field of a pass by the pass's name or its number from 0,
        ``passes.collect.grids``.
    value
        The new value, or its text as typed on a command line.

    Raises
    ------
    BadInput
        There is no such field, it cannot change during a night (see `FIXED`), or the value is not accepted.
    """
    path = _path(protocol, dotted_path)
    _refuse_fixed(path)
    values = protocol.model_dump(mode="json")
    holder: Any = values
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = scalar(value) if isinstance(value, str) else _plain(path, value)
    try:
        return check(ScreeningProtocol, values)
    except ValidationError as error:
        sentences = [sentence for _, sentence in explain(ScreeningProtocol, values, error)]
        raise BadInput("; ".join(sentences)) from None


def _path(protocol: ScreeningProtocol, text: str) -> Path:
    """Turn a dotted name into a path that leads to one plain value of this protocol."""
    steps: list[str | int] = [step.strip() for step in text.split(".")]
    if steps[0] == "passes" and len(steps) > 1:
        names: list[str] = [plan.name for plan in protocol.passes]
        given = str(steps[1])
        number = names.index(given) if given in names else int(given) if given.isdecimal() else -1
        if not 0 <= number < len(names):
            raise BadInput(f"{text}: this protocol has no pass {given!r}; it has {', '.join(names)}")
        steps[1] = number
    path = tuple(steps)
    for length in range(1, len(path) + 1):
        if not isinstance(path[length - 1], int) and field_at(ScreeningProtocol, path[:length]) is None:
            if not _is_option(path[: length - 1]):
                raise BadInput(_no_such_field(text, path[:length]))
            return path
    return path


def _is_option(above: Path) -> bool:
    """Say whether what stands below a path is an option of a plug-in, which only the plug-in knows."""
    section = section_at(ScreeningProtocol, above)
    return above == ("microscope", "options") or (section is not None and issubclass(section, PluginChoice))


def _no_such_field(text: str, path: Path) -> str:
    above, key = path[:-1], str(path[-1])
    if section_at(ScreeningProtocol, above) is None:
        return f"{text}: {dotted(above)} is a single value and holds no {key!r}; change {dotted(above)} itself"
    meant = probably_meant(key, above, ScreeningProtocol)
    hint = f"did you mean {meant}?" if meant else "`epicycle protocols show` prints a protocol with all fields"
    return f"{text or 'an empty name'}: there is no such protocol field; {hint}"


def _refuse_fixed(path: Path) -> None:
    name = dotted(path)
    why = _why_fixed("passes[]." + dotted(path[2:]) if path[0] == "passes" else name)
    if why is not None:
        raise BadInput(f"{name} cannot change during a night ({why}); change the file and start another session")
    if not _is_value(path):
        section = section_at(ScreeningProtocol, path)
        keys = ", ".join(section.model_fields) if section is not None else ""
        raise BadInput(f"{name} is a section; name one field in it, of {keys}")


def _why_fixed(name: str) -> str | None:
    return next((why for fixed, why in FIXED.items() if name == fixed or name.startswith(f"{fixed}.")), None)


def _is_value(path: Path) -> bool:
    return section_at(ScreeningProtocol, path) is None


def _plain(path: Path, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise BadInput(f"{dotted(path)}: {value!r} is not a value that a protocol can hold") from None
