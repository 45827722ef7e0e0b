"""The reference page of protocol and cassette, written from their models.

``python -m epicycle.protocols.reference`` prints it; a test compares it with ``docs/reference/protocol.md``.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .cassette import Cassette
from .changing import FIXED
from .grid_types import HOLE_TYPES, MATERIALS, MESHES
from .part import PluginChoice
from .preset import Preset
from .screening import ScreeningProtocol
from .words import SMARTSCOPE, accepted, is_list, section_of

HEAD = """# Protocol and cassette: every field

This page is written from the program's own models; `epicycle protocols schema` prints the same as JSON Schema. A field
that is left out has its default. Units stand at the end of names: `_um` is µm, `_a` is Å, `_s` seconds, `_h` hours.
How to write a protocol is told in [Write a protocol](../how-to/write-a-protocol.md).
"""


def reference() -> str:
    """Give the whole page as Markdown."""
    parts = [
        HEAD,
        "## The protocol\n",
        *_sections(ScreeningProtocol, ""),
        "## The cassette\n",
        *_sections(Cassette, ""),
        _films(),
        _fixed(),
        _smartscope(),
    ]
    return "\n".join(parts)


def _sections(model: type[BaseModel], above: str) -> Iterator[str]:
    """Give the table of a model's fields, then the sections that it holds; alike ones share a table."""
    rows = [_row(f"{above}{name}", info) for name, info in model.model_fields.items()]
    yield "\n".join(["| field | accepted | default | meaning |", "|---|---|---|---|", *rows, ""])
    alike: dict[type[BaseModel], list[str]] = {}
    for name, info in model.model_fields.items():
        section = section_of(info.annotation)
        if section is not None and not issubclass(section, PluginChoice):
            alike.setdefault(section, []).append(f"{above}{name}{'[]' if is_list(info.annotation) else ''}")
    for section, names in alike.items():
        yield f"### {', '.join(f'`{name}`' for name in names)}\n\n{_first_line(section)}\n"
        yield from _sections(section, f"{names[0]}." if len(names) == 1 else f"{above}*.")


def _row(name: str, info: FieldInfo) -> str:
    section = section_of(info.annotation)
    holds_fields = section is not None and not issubclass(section, PluginChoice)
    kind = ("list of sections" if is_list(info.annotation) else "section") if holds_fields else accepted(info)
    if section is not None and not holds_fields:
        kind = "`use:` and the plug-in's own options"
    default = "as below" if kind == "section" and not info.is_required() else _default(info)
    cells = (f"`{name}`", kind, default, info.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "the key it stands under" if info is Preset.model_fields["level"] else "must be given"
    value: Any = info.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "null"
    if isinstance(value, PluginChoice):
        return f"`{{use: {value.use}}}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(_item(item) for item in value)}]`"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "empty"


def _item(item: Any) -> str:
    if not isinstance(item, BaseModel):
        return str(item)
    return "{" + ", ".join(f"{key}: {value}" for key, value in item.model_dump(exclude_unset=True).items()) + "}"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _films() -> str:
    rows = [
        f"| {film.name} | {_size(film.hole_um)} | {_size(film.gap_um)} | {_size(film.pitch_um)} | {film.lattice} |"
        for film in HOLE_TYPES.values()
    ]
    meshes = [
        f"| {mesh.name} | {mesh.opening_um:g} | {mesh.bar_um:g} | {mesh.pitch_um:g} | {mesh.lattice} |"
        for mesh in MESHES.values()
    ]
    return "\n".join(
        [
            "## Films, meshes and materials\n",
            "Values of `hole_type`, `mesh` and `material`; case and spaces do not matter: `r1.2 / 1.3` is R1.2/1.3.\n",
            "| hole type | hole, µm | gap, µm | pitch, µm | lattice |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "| mesh | opening, µm | bar, µm | pitch, µm | lattice |",
            "|---|---|---|---|---|",
            *meshes,
            "",
            f"Materials: {', '.join(MATERIALS)}.\n",
        ]
    )


def _size(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _fixed() -> str:
    rows = [f"| `{name}` | {why} |" for name, why in FIXED.items()]
    return "\n".join(
        [
            "## What cannot change during a night\n",
            "Any other value can be changed from the next target on; a field of a pass is named by its pass, "
            "`passes.collect.grids`.\n",
            "| field or section | because |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _smartscope() -> str:
    rows = [f"| `{theirs}` | `{ours}` |" for theirs, ours in SMARTSCOPE.items()]
    return "\n".join(["## Names in SmartScope\n", "| SmartScope | here |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    print(reference(), end="")
