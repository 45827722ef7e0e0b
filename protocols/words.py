"""A model's fields in words: which there are, what each accepts, which one was probably meant."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .part import PluginChoice

UNITS = {
    "e_per_a2": "e⁻/Å²",
    "a_per_s": "Å/s",
    "um2": "µm²",
    "um": "µm",
    "nm": "nm",
    "min": "minutes",
    "deg": "degrees",
    "px": "pixels",
    "ev": "eV",
    "mm": "mm",
    "kv": "kV",
    "a": "Å",
    "s": "seconds",
    "h": "hours",
}
"""Suffixes of field names and the units they stand for; longer ones first, since one may end in another."""

SMARTSCOPE = {
    "atlas_x": "atlas.tiles_x",
    "atlas_y": "atlas.tiles_y",
    "square_x": "squares.tiles_x",
    "square_y": "squares.tiles_y",
    "squares_num": "squares.per_grid",
    "holes_per_square": "holes.per_square",
    "bis_max_distance": "holes.bis_radius_um",
    "min_bis_group_size": "holes.minimum_bis_group",
    "target_defocus_min": "exposure.defocus_min_um",
    "target_defocus_max": "exposure.defocus_max_um",
    "step_defocus": "exposure.defocus_step_um",
    "drift_crit": "settle.drift_limit_a_per_s",
    "tilt_angle": "exposure.tilt_deg",
    "save_frames": "exposure.save_frames",
    "offset_targeting": "holes.offset_targeting",
    "offset_distance": "holes.offset_distance_um",
    "zeroloss_delay": "zero_loss_interval_h",
}
"""What SmartScope's users call these fields."""

Path = tuple[str | int, ...]


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as it is typed: ``passes.1.grids``."""
    return ".".join(str(step) for step in path)


def unit_of(name: str) -> str | None:
    """Give the unit that the end of a field's name stands for; None when it has none."""
    return next((unit for suffix, unit in UNITS.items() if name.endswith(f"_{suffix}")), None)


def stem_of(name: str) -> str:
    """Give a field's name without its unit."""
    return next((name.removesuffix(f"_{suffix}") for suffix in UNITS if name.endswith(f"_{suffix}")), name)


def alternatives(annotation: Any) -> tuple[list[Any], bool]:
    """Split an annotation into the types it allows, and whether it may be null."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = get_args(annotation)
        return [kind for kind in kinds if kind is not type(None)], type(None) in kinds
    return [annotation], False


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Give the model that an annotation holds, alone or as the items of a list; None for a plain value."""
    for kind in alternatives(annotation)[0]:
        inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def is_list(annotation: Any) -> bool:
    """Say whether a field holds a list."""
    return any(get_origin(kind) is tuple for kind in alternatives(annotation)[0])


def field_at(model: type[BaseModel], path: Path) -> FieldInfo | None:
    """Find a field by its path; None where the path leads to no field (plug-in options have none)."""
    section: type[BaseModel] | None = model
    found: FieldInfo | None = None
    for step in path:
        if isinstance(step, int):
            continue
        if section is None or step not in section.model_fields:
            return None
        found = section.model_fields[step]
        section = section_of(found.annotation)
    return found


def section_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Find the model that stands at a path; None where a plain value stands."""
    if not path:
        return model
    found = field_at(model, path)
    return None if found is None else section_of(found.annotation)


def every_field(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Walk all fields with their dotted names, sections before what they hold; a list's items stand under ``[]``."""
    for name, info in model.model_fields.items():
        here = f"{above}{name}"
        yield here, info
        section = section_of(info.annotation)
        if section is not None:
            yield from every_field(section, f"{here}[]." if is_list(info.annotation) else f"{here}.")


def accepted(info: FieldInfo) -> str:
    """Say in words what a field accepts."""
    kinds, nullable = alternatives(info.annotation)
    return " or ".join([*(_one(kind, info) for kind in kinds), *(["null"] if nullable else [])])


def section_words(section: type[BaseModel]) -> str:
    """Say in words what a section holds."""
    if issubclass(section, PluginChoice):
        return "a section with the key use and the plug-in's options, for example {use: NAME}"
    return f"a section with keys among {', '.join(section.model_fields)}"


def _one(kind: Any, info: FieldInfo) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list of {_count(info)}{_items(get_args(kind)[0])}"
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(info)
    section = section_of(kind)
    if section is not None:
        return section_words(section)
    return f"text{_such_as(info)}" if kind is str else "a section of options"


def _items(kind: Any) -> str:
    if section_of(kind):
        return "sections"
    return "pairs of numbers such as [0.3, 0]" if is_pair(kind) else "whole numbers"


def is_pair(kind: Any) -> bool:
    """Say whether a list's items are pairs of numbers."""
    return get_origin(kind) is tuple and get_args(kind) == (float, float)


def _limits(info: FieldInfo) -> dict[str, Any]:
    keys = ("ge", "gt", "le", "lt", "min_length", "max_length")
    return {key: getattr(rule, key) for rule in info.metadata for key in keys if hasattr(rule, key)}


def _range(info: FieldInfo) -> str:
    limits = _limits(info)
    low = f" from {limits['ge']:g}" if "ge" in limits else f" above {limits['gt']:g}" if "gt" in limits else ""
    high = f" to {limits['le']:g}" if "le" in limits else ""
    return f"{low},{high}" if "gt" in limits and high else low + high


def _count(info: FieldInfo) -> str:
    limits = _limits(info)
    return f"{limits['min_length']} to {limits['max_length']} " if {"min_length", "max_length"} <= limits.keys() else ""


def _such_as(info: FieldInfo) -> str:
    if info.examples:
        return f" such as {info.examples[0]}"
    longest = _limits(info).get("max_length")
    return f" of at most {longest} characters" if longest else ""


def probably_meant(key: str, above: Path, model: type[BaseModel]) -> str | None:
    """Guess the dotted name of the field an unknown key was meant to be: here first, then anywhere in the document.

    Parameters
    ----------
    key
        As it was written.
    above
        Path of the section where it was written.
    model
        Model of the whole document.
    """
    section = section_at(model, above)
    if section is None:
        return None
    here = list(section.model_fields)
    same_stem = [name for name in here if stem_of(name) == stem_of(key)]
    near = same_stem or difflib.get_close_matches(key, here, n=1, cutoff=0.75)
    if near:
        return dotted((*above, near[0]))
    if key in SMARTSCOPE and field_at(model, tuple(SMARTSCOPE[key].split("."))):
        return SMARTSCOPE[key]
    far = _elsewhere(key, [name for name, _ in every_field(model)])
    near = difflib.get_close_matches(key, here, n=1, cutoff=0.6)
    return far or (dotted((*above, near[0])) if near else None)


def _elsewhere(key: str, names: Iterable[str]) -> str | None:
    """Find the field whose dotted name, or its last one or two steps, the key spells."""
    plain = re.sub(r"[^a-z0-9]", "", stem_of(key.casefold()))
    for name in names:
        steps = name.replace("[]", "").split(".")
        spelled = ("".join(steps), "".join(steps[-2:]), steps[-1])
        if plain and plain in {re.sub(r"[^a-z0-9]", "", stem_of(word)) for word in spelled}:
            return name
    return None
