"""Changing one value while a night runs: what may change, what may not, and what is said."""

from typing import Any

import pytest

from epicycle.protocols.changing import FIXED, changeable, changed
from epicycle.protocols.errors import BadInput
from epicycle.protocols.reading import read_protocol
from epicycle.protocols.screening import ScreeningProtocol
from epicycle.protocols.words import every_field

PROTOCOL = read_protocol("screening-fast")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("holes.per_square", 5, 5),
        ("holes.per_square", "5", 5),
        ("holes.offset_targeting", "false", False),
        ("settle.drift_limit_a_per_s", 1, 1.0),
        ("time.deadline", "06:30", "06:30"),
        ("time.deadline", "null", None),
        ("height.method", "focus", "focus"),
        ("pause_between_grids", True, True),
    ],
)
def test_a_value_is_changed_and_nothing_else(path: str, value: Any, expected: Any) -> None:
    after = changed(PROTOCOL, path, value).model_dump()
    before = PROTOCOL.model_dump()
    *above, key = path.split(".")
    held = after
    for step in above:
        held, before = held[step], before[step]
    assert held[key] == expected
    held[key] = before[key]
    assert after == PROTOCOL.model_dump()


def test_a_pass_is_named_or_numbered() -> None:
    by_name = changed(PROTOCOL, "passes.collect.grids", 3)
    assert by_name.passes[1].grids == 3
    assert by_name == changed(PROTOCOL, "passes.1.grids", "3")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("holes.per_sqare", 5, "did you mean holes.per_square?"),
        ("per_grid", 5, "did you mean squares.per_grid?"),
        ("nonsense", 5, "there is no such protocol field"),
        ("", 5, "there is no such protocol field"),
        ("...", 5, "there is no such protocol field"),
        ("holes.per_square.more", 5, "holes.per_square is a single value"),
        ("holes", {"per_square": 5}, "holes is a section; name one field in it, of per_square"),
        ("passes", [], "passes is a section"),
        ("passes.gather.grids", 2, "this protocol has no pass 'gather'; it has triage, collect"),
        ("passes.7.grids", 2, "this protocol has no pass '7'"),
        ("passes.-1.grids", 2, "this protocol has no pass '-1'"),
        ("holes.per_square", "many", 'is "many" (holes to expose'),
        ("holes.per_square", 0, "cannot go together"),
        ("holes.per_square", None, "holes.per_square is empty"),
        ("holes.bis_radius_um", "4 um", "write the number alone, in µm"),
        ("holes.bis_radius_um", float("nan"), "is NaN"),
        ("holes.bis_radius_um", {1, 2}, "not a value that a protocol can hold"),
        ("exposure.tilt_deg", 80, "from -70 to 70"),
        ("passes.triage.grids", 2, "nothing comes before the first pass"),
    ],
)
def test_what_is_refused(path: str, value: Any, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        changed(PROTOCOL, path, value)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        *(name.replace("[]", ".0") for name in FIXED),
        "atlas.tiles_x",
        "holes.policy.use",
        "holes.policy.groups",
        "microscope.options.a",
    ],
)
def test_what_stays_for_the_night(path: str) -> None:
    with pytest.raises(BadInput, match="cannot change during a night"):
        changed(PROTOCOL, path, "x")


def test_every_fixed_name_is_a_field() -> None:
    assert set(FIXED) <= {name for name, _ in every_field(ScreeningProtocol)}


def test_every_other_field_can_be_reached() -> None:
    names = changeable()
    assert {"holes.per_square", "passes[].grids", "time.deadline", "thresholds.ice_max_nm"} <= set(names)
    assert not {"name", "atlas.tiles_x", "holes", "holes.policy.use"} & set(names)
    for name in names:
        path = name.replace("[]", ".0")
        held: Any = PROTOCOL.model_dump(mode="json")
        for step in path.split("."):
            held = held[int(step) if step.isdigit() else step]
        assert changed(PROTOCOL, path, held) == PROTOCOL
