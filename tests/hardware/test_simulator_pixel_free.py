"""The pixel-free microscope: the same world, clock, faults and doses as the one that renders pictures."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from epicycle.detectors.regular_pattern import regular_pattern
from epicycle.files.mrc import read_image, read_metadata
from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.contract import MicroscopeContract
from epicycle.hardware.errors import CameraTimeout
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import SIGHTINGS, Image, Shot, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.pixel_free.error_models import (
    ANY,
    TABLES,
    Cell,
    Table,
    load_error_models,
    shipped_fits,
)
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput

Benches = Callable[..., Any]

CALM = {"grids": {"1": {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0}}}


class TestPixelFree(MicroscopeContract):
    occupied_slot = 1
    empty_slot = 5

    @pytest.fixture
    def microscope(self, bench: Benches) -> SimulatedMicroscope:
        return bench(fidelity="pixel-free").connect()  # type: ignore[no-any-return]


def _acts(scope: SimulatedMicroscope) -> list[Any]:
    """Do some of everything; gives what the instrument answered, pictures apart."""
    presets, answers = scope.presets(), []
    scope.load(1)
    scope.open_valve()
    answers.append(scope.go_to(StagePosition(120.0, -40.0)))
    for level in ("atlas", "square", "hole"):
        scope.use(presets[level])
        got = scope.acquire(Shot(presets[level]), f"one-{level}")
        answers.append((got.started_at, got.ended_at, got.stage, got.dose_e_per_a2, got.preset))
    answers.append(scope.settle(2.0, 60.0))
    scope.use(presets["exposure"])
    got = scope.acquire(Shot(presets["exposure"], save_frames=True), "one-exposure")
    answers.append((got.started_at, got.ended_at, got.frames, got.dose_e_per_a2))
    scope.refill()
    scope.unload()
    return answers


def test_clock_doses_and_stage_are_those_of_the_pixel_version(bench: Benches) -> None:
    told, doses = [], []
    for fidelity in ("pixels", "pixel-free"):
        one = bench(folder=fidelity, fidelity=fidelity)
        told.append((_acts(one.connect()), one.clock.now()))
        doses.append((one.memory / "doses.jsonl").read_bytes())
    assert told[0] == told[1]
    assert doses[0] == doses[1]


def test_another_draw_finds_other_things_in_the_same_night(bench: Benches) -> None:
    told, doses, seen = [], [], []
    for draw in (0, 1, 0):
        one = bench(folder=f"draw-{len(told)}", fidelity="pixel-free", draw=draw)
        scope = one.connect()
        told.append(_acts(scope))
        doses.append((one.memory / "doses.jsonl").read_bytes())
        seen.append(
            [read_metadata(scope.stored(f"one-{level}").path)[SIGHTINGS] for level in ("square", "hole", "exposure")]
        )
    assert told[0] == told[1]
    assert doses[0] == doses[1]
    assert seen[0] == seen[2]
    assert all(first != other for first, other in zip(seen[0], seen[1], strict=True))


def test_faults_strike_alike(bench: Benches) -> None:
    faults = [
        {"kind": "camera-timeout", "at": {"call": "acquire", "number": 2}},
        {"kind": "load-fails", "at": {"slot": 1, "times": 1}},
        {"kind": "beam-off", "at": {"after_h": 0.2}, "lasts_h": 0.1},
    ]
    told = []
    for fidelity in ("pixels", "pixel-free"):
        one = bench(folder=fidelity, fidelity=fidelity, faults=faults)
        scope = one.connect()
        said: list[str] = []
        for act in (lambda s=scope: s.load(1), lambda s=scope: s.load(1), scope.open_valve, scope.refill):
            try:
                act()
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
        square = Shot(scope.presets()["square"])
        scope.acquire(square, "first")
        with pytest.raises(CameraTimeout):
            scope.acquire(square, "second")
        told.append((said, scope.status().beam_on, one.clock.now()))
    assert told[0] == told[1]
    assert told[0][0]


def _sightings(bench: Benches, level: str, seed: int = 1, folder: str = "night") -> Any:
    scope = bench(seed=seed, folder=folder, fidelity="pixel-free").connect()
    scope.load(1)
    scope.open_valve()
    scope.use(scope.presets()[level])
    got = scope.acquire(Shot(scope.presets()[level]), "seen")
    assert SIGHTINGS not in got.details
    return read_metadata(got.path)[SIGHTINGS]


@pytest.mark.parametrize("level", ["atlas", "square", "exposure"])
def test_the_same_seed_sees_the_same_and_another_does_not(bench: Benches, level: str) -> None:
    seen = [_sightings(bench, level, seed, folder) for seed, folder in ((1, "a"), (1, "b"), (2, "c"))]
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_sightings_tell_answers_and_no_truth(bench: Benches) -> None:
    text = json.dumps([_sightings(bench, level, folder=level) for level in ("atlas", "square", "hole", "exposure")])
    names = {kind.name.lower() for kind in SquareKind} - {"contaminated", "cracked"}  # these a finder says too
    assert not any(f'"{name}"' in text for name in (*names, "ice", "kind", "resolution_true"))


def test_a_dark_picture_is_no_sight(bench: Benches) -> None:
    scope = bench(fidelity="pixel-free").connect()
    scope.load(1)
    preset = scope.presets()["square"]
    got = scope.acquire(Shot(preset), "dark")
    assert got.mean_counts < 0.05 * preset.dose_e_per_a2 * preset.pixel_size_a**2
    assert "holes" not in read_metadata(got.path)[SIGHTINGS]


def test_shipped_fits_say_where_they_are_from() -> None:
    assert "demo-2k" in shipped_fits()
    for name in shipped_fits():
        made = load_error_models(name).fitted
        assert made.profile == name
        assert made.command.startswith("epicycle simulate fit")
        assert made.seeds
        assert made.version


def test_a_fit_that_cannot_be_used_is_said_in_a_sentence(bench: Benches, tmp_path: Any) -> None:
    with pytest.raises(BadInput, match="simulate fit"):
        bench(fidelity="pixel-free", error_models="nowhere").connect()
    broken = json.loads(load_error_models("demo-2k").model_dump_json())
    del broken["tables"][next(iter(TABLES))]
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(BadInput, match="is missing"):
        load_error_models(str(tmp_path / "broken.json"))
    (tmp_path / "cut.json").write_text(json.dumps(broken)[:100_000])
    with pytest.raises(BadInput, match="Invalid JSON") as said:
        load_error_models(str(tmp_path / "cut.json"))
    assert len(str(said.value)) < 500 + len(str(tmp_path)), "what is wrong, not the file"


def test_draws_have_the_share_and_the_distribution_of_their_cell() -> None:
    rows = tuple((float(n), float(-n)) for n in range(40))
    low = Cell(of="a", below=1.0, cases=100, answered=0.25, rows=rows)
    high = Cell(of="a", below=None, cases=100, answered=1.0, rows=((7.0, 1.0),))
    other = Cell(of=ANY, below=None, cases=1, answered=0.0, rows=())
    table = Table(about="", columns=("x", "y"), alike=0.0, cells=(low, high, other))
    rng = np.random.default_rng(5)
    count = 20_000
    covariate = np.where(np.arange(count) < count // 2, 0.5, 2.0)
    drawn = table.draw(["a"] * count, covariate, rng.random(count), rng.random(count))
    below = drawn[: count // 2]
    answered = ~np.isnan(below[:, 0])
    assert abs(answered.mean() - 0.25) < 0.02
    assert abs(np.median(below[answered, 0]) - 19.5) < 1.0
    assert np.abs(below[answered, 0] + below[answered, 1]).max() <= 0.5, "what came together stays together"
    assert (drawn[count // 2 :] == [7.0, 1.0]).all()
    assert np.isnan(table.draw(["unheard of"], np.zeros(1), np.zeros(1), np.zeros(1))).all()


def test_what_is_particular_falls_back_on_what_is_general() -> None:
    ice = Cell(of="ice", below=None, cases=1, answered=1.0, rows=((1.0, 0.0),))
    own = Cell(of="ice > R2/1", below=None, cases=1, answered=1.0, rows=((2.0, 0.0),))
    other = Cell(of=ANY, below=None, cases=1, answered=1.0, rows=((3.0, 0.0),))
    table = Table(about="", columns=("x", "y"), alike=0.0, cells=(ice, own, other))
    half = np.full(3, 0.5)
    drawn = table.draw(["ice > R2/1", "ice > R1.2/1.3 > torn", "bar > R2/1"], half, half, half)
    assert drawn[:, 0].tolist() == [2.0, 1.0, 3.0]


@pytest.mark.parametrize("profile", ["demo-2k", "screening-200kv"])
def test_exposures_tell_the_same_gain_and_counts_without_pixels(bench: Benches, profile: str) -> None:
    """A counting camera takes two electrons for one by its own pixels, however few are kept."""
    told = []
    for fidelity in ("pixels", "pixel-free"):
        models = {"error_models": "demo-2k"} if fidelity == "pixel-free" else {}
        scope = bench(folder=fidelity, fidelity=fidelity, profile=profile, camera_scale=0.125, **models).connect()
        scope.load(1)
        scope.open_valve()
        preset = scope.presets()["exposure"]
        scope.use(preset)
        got = scope.acquire(Shot(preset), "one")
        gain = got.details["counts_per_electron"]
        told.append((gain, got.mean_counts / (got.dose_e_per_a2 * got.pixel_size_a**2 * gain)))
    assert told[1][0] == pytest.approx(told[0][0], rel=0.01)
    assert told[1][1] == pytest.approx(told[0][1], rel=0.08)


def test_a_profile_without_a_fit_is_refused_in_a_sentence(bench: Benches) -> None:
    with pytest.raises(BadInput, match=r"no error models ship .* simulate fit --profile collection-300kv"):
        bench(fidelity="pixel-free", profile="collection-300kv").connect()
    bench(fidelity="pixel-free", profile="collection-300kv", error_models="demo-2k").connect()


@pytest.mark.parametrize("hole_type", ["Lacey", "NegativeStain"])
def test_targets_lie_on_a_small_picture_where_they_lie_on_a_large_one(
    tmp_path: Any, on_square: Callable[..., StagePosition], hole_type: str
) -> None:
    film = {"slot": 1, "name": "one", "hole_type": hole_type, "mesh": "300", "material": "Carbon"}
    cassette = Cassette.model_validate({"slots": [film]})
    laid = []
    for fidelity in ("pixels", "pixel-free"):
        given = {"profile": "demo-2k", "world": CALM, "fidelity": fidelity, "film_picture_px": 96}
        folder = tmp_path / fidelity
        clock = VirtualClock(datetime(2026, 1, 5, 18, tzinfo=UTC))
        scope = connect(Installation(given, folder / "images", folder / "memory", clock, 1, cassette))
        on_square(scope)
        preset = scope.presets()["square"]
        scope.use(preset)
        got = scope.acquire(Shot(preset), "square")
        image = Image(*read_image(got.path))
        found = regular_pattern({"pitch_um": 4.0}).find(image).holes
        to_stage = np.array(got.image_to_stage)
        laid.append(np.array([to_stage @ (hole.row_px, hole.col_px, 1) for hole in found]))
    assert len(laid[1]) == pytest.approx(len(laid[0]), rel=0.1)
    off_um = np.linalg.norm(laid[0][:, None] - laid[1][None], axis=2).min(axis=1)
    assert np.median(off_um) < 0.5
