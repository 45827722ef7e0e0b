"""The protocol's models: defaults, round trips through storage, what cannot go together, what a pass makes of it."""

from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from epicycle.protocols.cassette import Cassette, CassetteGrid
from epicycle.protocols.explaining import check
from epicycle.protocols.grid_types import HOLE_TYPES, MATERIALS, MESHES
from epicycle.protocols.part import PluginChoice
from epicycle.protocols.screening import MicroscopeChoice, PassPlan, ScreeningProtocol
from epicycle.protocols.words import alternatives, every_field, section_of
from epicycle.targeting.wishes import pattern_named

KEYS = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda key: key != "use")
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=8))
JSON = st.recursive(
    PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def limits(info: FieldInfo) -> dict[str, Any]:
    return {key: getattr(rule, key) for rule in info.metadata for key in ("ge", "gt", "le") if hasattr(rule, key)}


def number(kind: type, info: FieldInfo) -> st.SearchStrategy[Any]:
    bounds = limits(info)
    low, high = bounds.get("ge", bounds.get("gt", -1000)), bounds.get("le", 10000)
    if kind is int:
        return st.integers(low + ("gt" in bounds), high)
    return st.floats(float(low), float(high), exclude_min="gt" in bounds, allow_nan=False)


def value_of(kind: Any, info: FieldInfo) -> st.SearchStrategy[Any]:
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple and get_args(kind)[-1] is not Ellipsis:
        return st.tuples(*(value_of(part, info) for part in get_args(kind))).map(list)
    if get_origin(kind) is tuple:
        fewest = next((rule.min_length for rule in info.metadata if hasattr(rule, "min_length")), 0)
        return st.lists(value_of(get_args(kind)[0], info), min_size=fewest, max_size=2)
    if isinstance(kind, type) and issubclass(kind, PluginChoice):
        return st.builds(lambda use, more: {"use": use, **more}, KEYS, st.dictionaries(KEYS, JSON, max_size=2))
    if section_of(kind):
        return st.deferred(lambda: values(section_of(kind)))
    if kind is bool:
        return st.booleans()
    if kind in (int, float):
        return number(kind, info)
    if kind is str:
        pattern = next((rule.pattern for rule in info.metadata if getattr(rule, "pattern", None)), None)
        longest = next((rule.max_length for rule in info.metadata if hasattr(rule, "max_length")), 20)
        return st.from_regex(pattern, fullmatch=True) if pattern else st.text("aåé x:#-'\"\n0", max_size=longest)
    return st.dictionaries(KEYS, JSON, max_size=3)


def values(model: type[BaseModel] | None) -> st.SearchStrategy[dict[str, Any]]:
    """Any mapping whose fields are acceptable one by one; a field that may be left out often is."""
    assert model is not None
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, info in model.model_fields.items():
        if name == "level":
            continue
        kinds, nullable = alternatives(info.annotation)
        strategy = st.one_of(*(value_of(kind, info) for kind in kinds), *([st.none()] if nullable else []))
        (required if info.is_required() else optional)[name] = strategy
    return st.fixed_dictionaries(required, optional=optional)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(values(ScreeningProtocol))
def test_a_protocol_survives_the_database(given_values: dict[str, Any]) -> None:
    try:
        protocol = check(ScreeningProtocol, given_values)
    except ValidationError as error:
        assume(all(detail["type"] != "impossible" and "passes" not in detail["loc"] for detail in error.errors()))
        raise
    assert ScreeningProtocol.model_validate(protocol.model_dump(mode="json")) == protocol
    assert ScreeningProtocol.model_validate_json(protocol.model_dump_json()) == protocol
    assert protocol.in_pass(0).in_pass(0) == protocol.in_pass(0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            CassetteGrid,
            slot=st.integers(1, 12),
            name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,20}", fullmatch=True),
            hole_type=st.sampled_from(["", *HOLE_TYPES]),
            mesh=st.sampled_from(["", *MESHES]),
            material=st.sampled_from(["", *MATERIALS]),
            note=st.text(max_size=20),
        ),
        min_size=1,
        max_size=12,
        unique_by=(lambda grid: grid.slot, lambda grid: grid.name.casefold()),
    )
)
def test_a_cassette_survives_the_database(grids: list[CassetteGrid]) -> None:
    cassette = Cassette(slots=tuple(grids))
    assert Cassette.model_validate(cassette.model_dump(mode="json")) == cassette
    assert all(cassette.grid_in(grid.slot) == grid for grid in grids)


def test_defaults_are_smartscopes() -> None:
    protocol = ScreeningProtocol(name="x")
    assert (protocol.atlas.tiles_x, protocol.atlas.tiles_y) == (3, 3)
    assert (protocol.squares.tiles_x, protocol.squares.tiles_y, protocol.squares.per_grid) == (1, 1, 3)
    assert (protocol.holes.per_square, protocol.holes.bis_radius_um, protocol.holes.minimum_bis_group) == (3, 0, 1)
    assert (protocol.exposure.defocus_min_um, protocol.exposure.defocus_max_um) == (-2, -2)
    assert (protocol.exposure.defocus_step_um, protocol.exposure.tilt_deg) == (0, 0)
    assert (protocol.settle.drift_limit_a_per_s, protocol.zero_loss_interval_h) == (-1, -1)
    assert protocol.exposure.save_frames
    assert protocol.holes.offset_targeting
    assert not protocol.pause_between_grids


def test_every_field_has_a_sentence() -> None:
    for model in (ScreeningProtocol, Cassette):
        for name, info in every_field(model):
            assert info.description, name
            assert info.description.endswith("."), name


def test_a_protocol_cannot_be_altered() -> None:
    protocol = ScreeningProtocol(name="x")
    with pytest.raises(ValidationError, match="frozen"):
        protocol.holes.per_square = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("use", "time", "virtual"),
    [("sim", None, True), ("replay", None, True), ("serialem", None, False), ("sim", "wall", False)],
)
def test_whose_time_it_is(use: str, time: Literal["wall"] | None, virtual: bool) -> None:
    assert MicroscopeChoice(use=use, time=time).virtual_time is virtual


def test_a_plug_in_keeps_its_own_options() -> None:
    choice = PluginChoice.model_validate({"use": "mine", "depth": 3, "deeper": {"a": [1, None]}})
    assert choice.options() == {"depth": 3, "deeper": {"a": [1, None]}}
    choice.options()["depth"] = 4
    assert choice.options()["depth"] == 3


MIDDLE = {"offset_targeting": False}
CENTRED = {"holes": MIDDLE}
PAIR = {"shots_per_hole": 2, "shot_offsets_um": [[0.3, 0.0], [-0.3, 0.0]]}
TWICE = {"shots_per_hole": 2, "shot_offsets_um": [[0.3, 0.0], [0.3, 0.0]]}
WIDE = {
    "magnification": 36000, "pixel_size_a": 1.2, "rows_px": 2048, "cols_px": 2048, "exposure_s": 4.0, "frames": 4,
    "dose_e_per_a2": 40.0, "beam_diameter_um": 0.7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"holes": {"per_square": 0}}, "all holes (0) with offset_targeting true cannot go together"),
        ({"holes": {"minimum_bis_group": 2}}, "cannot be made in the pass triage with bis_radius_um 0"),
        ({"atlas": {"overlap_fraction": 0.01}}, "cannot be joined into one atlas"),
        ({"squares": {"area_min_um2": 900, "area_max_um2": 100}}, "no square would be left"),
        ({"settle": {"drift_limit_a_per_s": 0}}, "never reached"),
        ({"settle": {"drift_limit_a_per_s": -0.5}}, "never reached"),
        ({"zero_loss_interval_h": 0}, "give hours above 0, or -1"),
        ({"exposure": {"defocus_min_um": -3, "defocus_max_um": -1}}, "exchange the two"),
        ({"exposure": {"defocus_step_um": 0.5}}, "does not fit between -2 and -2"),
        ({"thresholds": {"ice_min_nm": 90, "ice_max_nm": 20}}, "no exposure would be usable"),
        ({"time": {"per_grid_min": 120, "per_night_h": 1}}, "one grid may take 120 min"),
        ({"passes": [{"name": "collect"}, {"name": "triage"}]}, "collect comes before triage"),
        ({"passes": [{"name": "triage"}, {"name": "triage"}]}, "named twice"),
        ({"passes": [{"name": "triage", "grids": 2}]}, "nothing comes before the first pass"),
        ({"passes": [{"name": "triage", "minimum_usable": 2}]}, "nothing comes before the first pass"),
        ({"depth": "atlas", "passes": [{"name": "triage"}, {"name": "collect"}]}, "nothing is exposed"),
        ({"rehearsal": {"analysis_crashes": [0]}}, "counted from 1"),
        ({"exposure": {"shots_per_hole": 2}}, "cannot go together with offset_targeting true in the pass triage"),
        ({**CENTRED, "exposure": {"shot_offsets_um": [[0.3, 0], [-0.3, 0]]}}, "1 shot cannot go to 2 offsets"),
        ({**CENTRED, "exposure": TWICE}, "two of the offsets are one and the same place"),
        ({"holes": {**MIDDLE, "spare_neighbours": False}, "exposure": {"shots_per_hole": 2}}, "none lights another"),
        (
            {**CENTRED, "exposure": PAIR, "passes": [{"name": "triage", "shots_per_hole": 3}]},
            "give 2, or 1 for the mid",
        ),
        ({**CENTRED, "exposure": PAIR, "presets": {"exposure": WIDE}}, "are 0.60 µm apart and would light each other"),
    ],
)
def test_what_cannot_go_together(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        check(ScreeningProtocol, {"name": "x", **values})
    (detail,) = refused.value.errors()
    assert sentence in detail["msg"]


def test_a_single_tile_needs_no_overlap() -> None:
    alone = check(ScreeningProtocol, {"name": "x", "atlas": {"tiles_x": 1, "tiles_y": 1, "overlap_fraction": 0}})
    assert alone.atlas.overlap_fraction == 0


def test_a_pass_has_its_own_squares_and_holes() -> None:
    protocol = ScreeningProtocol(
        name="x",
        passes=(
            PassPlan(name="triage"),
            PassPlan(name="collect", squares_per_grid=0, holes_per_square=0, bis_radius_um=4, offset_targeting=False),
        ),
    )
    assert protocol.in_pass(0) == protocol
    collect = protocol.in_pass(1)
    assert (collect.squares.per_grid, collect.holes.per_square) == (0, 0)
    assert (collect.holes.bis_radius_um, collect.holes.minimum_bis_group) == (4, 1)
    assert not collect.holes.offset_targeting
    assert collect.exposure == protocol.exposure


def test_a_pass_has_its_own_number_of_shots_and_a_single_one_goes_to_the_middle() -> None:
    passes = [{"name": "triage", "shots_per_hole": 1, "offset_targeting": True}, {"name": "collect"}]
    protocol = check(ScreeningProtocol, {"name": "x", **CENTRED, "exposure": PAIR, "passes": passes})
    first, second = (protocol.in_pass(number).exposure for number in (0, 1))
    assert (first.shots_per_hole, first.shot_offsets_um) == (1, None)
    assert (second.shots_per_hole, second.shot_offsets_um) == (2, ((0.3, 0.0), (-0.3, 0.0)))


@pytest.mark.parametrize("pattern", ["cross", "3x3", "0,0 1,0 0,1", "-1,0.5"])
def test_a_pattern_by_name_or_offsets(pattern: str) -> None:
    plan = check(ScreeningProtocol, {"name": "x", "holes": {"bis_pattern": pattern}})
    offsets = pattern_named(plan.holes.bis_pattern)
    assert offsets is not None
    assert len(offsets) == {"cross": 5, "3x3": 9, "0,0 1,0 0,1": 3, "-1,0.5": 1}[pattern]
    for wrong in ("0,0,0", "0;1", "all,", f"{pattern} "):
        with pytest.raises(ValidationError):
            check(ScreeningProtocol, {"name": "x", "holes": {"bis_pattern": wrong}})


def test_a_grid_has_its_own_squares_in_the_first_pass_only() -> None:
    protocol = ScreeningProtocol(name="x", passes=(PassPlan(name="triage"), PassPlan(name="collect")))
    grid = CassetteGrid(slot=1, name="a", squares_per_grid=7, holes_per_square=2)
    first, second = protocol.in_pass(0, grid), protocol.in_pass(1, grid)
    assert (first.squares.per_grid, first.holes.per_square) == (7, 2)
    assert (second.squares.per_grid, second.holes.per_square) == (3, 3)


def test_presets_know_their_level_and_their_order() -> None:
    optics = {"magnification": 1, "rows_px": 64, "cols_px": 64, "exposure_s": 1, "dose_e_per_a2": 1}
    levels = {"atlas": 500.0, "square": 100.0, "exposure": 1.0}
    given_presets = {level: {**optics, "pixel_size_a": size} for level, size in levels.items()}
    presets = check(ScreeningProtocol, {"name": "x", "presets": given_presets}).presets
    assert [preset.level for preset in presets.given().values()] == list(levels)
    given_presets["square"]["pixel_size_a"] = 0.5
    with pytest.raises(ValidationError, match="not finer than the square preset's"):
        check(ScreeningProtocol, {"name": "x", "presets": given_presets})
