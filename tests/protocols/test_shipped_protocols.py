"""The protocols that ship, and the pages and schemas written from the models, are complete and agree."""

import re
from pathlib import Path

import jsonschema
import pytest

from epicycle.protocols.cassette import Cassette
from epicycle.protocols.document import parse
from epicycle.protocols.part import PluginChoice
from epicycle.protocols.preset import Preset
from epicycle.protocols.reading import (
    json_schema,
    parse_cassette,
    parse_protocol,
    read_protocol,
    shipped_names,
    shipped_text,
)
from epicycle.protocols.reference import reference
from epicycle.protocols.screening import ScreeningProtocol
from epicycle.protocols.words import every_field, section_at

DOCS = Path(__file__).parents[2] / "docs"
NAMES = shipped_names()


def test_which_protocols_ship() -> None:
    assert set(NAMES) == {
        "atlas-only",
        "collect",
        "lacey",
        "negative-stain",
        "screening-default",
        "screening-fast",
        "tilted-30",
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_and_says_its_name(name: str) -> None:
    protocol = read_protocol(name)
    assert protocol.name == name
    assert protocol.description
    assert ScreeningProtocol.model_validate(protocol.model_dump(mode="json")) == protocol


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_every_field(name: str) -> None:
    text = shipped_text(name)
    document = parse(text, name, "protocol")
    written = {re.sub(r"\.\d+", "[]", ".".join(map(str, path))) for path in document.lines}
    for field, _ in every_field(ScreeningProtocol):
        holder = section_at(ScreeningProtocol, tuple(field.replace("[]", "").split(".")[:-1]))
        if holder is Preset:
            assert field.endswith(".level") or re.search(rf"#\s+{field.rpartition('.')[2]}: ", text), field
        else:
            assert field in written, field


@pytest.mark.parametrize("name", NAMES)
def test_its_commented_preset_is_one(name: str) -> None:
    example = re.findall(r"^# ( {2,}.*)$", shipped_text(name), re.MULTILINE)
    preset = parse_protocol("name: x\npresets:\n" + "\n".join(example), name).presets.exposure
    assert preset is not None
    assert preset.level == "exposure"


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_explained(name: str) -> None:
    comments = [line for line in shipped_text(name).splitlines() if "#" in line]
    assert len(comments) > 70
    assert max(len(line) for line in shipped_text(name).splitlines()) <= 120


def test_the_default_protocol_is_the_defaults() -> None:
    shipped = read_protocol("screening-default")
    assert shipped == ScreeningProtocol(name=shipped.name, description=shipped.description)


def test_what_each_is_for() -> None:
    fast = read_protocol("screening-fast")
    assert [plan.name for plan in fast.passes] == ["triage", "collect"]
    assert (fast.in_pass(0).squares.per_grid, fast.in_pass(0).holes.per_square) == (2, 3)
    assert (fast.passes[1].grids, fast.in_pass(1).holes.bis_radius_um) == (2, 4)
    assert read_protocol("atlas-only").depth == "atlas"
    assert read_protocol("collect").holes.per_square == 0
    assert read_protocol("tilted-30").exposure.tilt_deg == 30


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_accepts_it(name: str) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(parse(shipped_text(name), name, "protocol").values, schema)


@pytest.mark.parametrize("mistake", [{"colour": 1}, {"holes": {"per_square": "3"}}, {"exposure": {"tilt_deg": 80}}])
def test_the_schema_refuses_mistakes(mistake: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "x", **mistake}, json_schema())


def test_the_schema_knows_that_a_preset_has_its_level_from_its_key() -> None:
    optics = {"magnification": 1, "pixel_size_a": 1, "rows_px": 64, "cols_px": 64, "exposure_s": 1, "dose_e_per_a2": 1}
    jsonschema.validate({"name": "x", "presets": {"hole": optics}}, json_schema())


def test_the_schema_of_a_cassette() -> None:
    schema = json_schema("cassette")
    jsonschema.validate(
        {"slots": [{"slot": 1, "name": "a", "mesh": 300}, {"slot": 2, "name": "b", "mesh": "300"}]}, schema
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"slots": [{"slot": 13, "name": "a"}]}, schema)


def test_the_reference_page_is_what_the_models_say() -> None:
    page = DOCS / "reference" / "protocol.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "the models have changed; run `python -m epicycle.protocols.reference > docs/reference/protocol.md`"
    )


def test_the_reference_page_lists_every_field() -> None:
    page = (DOCS / "reference" / "protocol.md").read_text(encoding="utf-8")
    for model in (ScreeningProtocol, Cassette):
        for name, info in every_field(model):
            above = section_at(model, tuple(name.replace("[]", "").split(".")[:-1]))
            if above is not None and issubclass(above, PluginChoice):
                continue
            shown = re.sub(r"^presets\.\w+\.", "presets.*.", name)
            rows = [line for line in page.splitlines() if line.startswith(f"| `{shown}` |")]
            assert any(row.endswith(f"| {info.description} |") for row in rows), name


def test_the_examples_of_the_how_to_are_valid() -> None:
    page = (DOCS / "how-to" / "write-a-protocol.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml( cassette)?\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    for kind, text in blocks:
        assert (parse_cassette if kind else parse_protocol)(text, "write-a-protocol.md")
    assert all(f"`{name}`" in page for name in NAMES)
