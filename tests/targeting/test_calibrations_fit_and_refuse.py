"""Calibrations come back from measurements, bear outliers, and are refused when they must not be aimed by."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.calibration import (
    UNIT,
    Backlash,
    CalibrationRefused,
    Calibrations,
    PresetOffset,
    Quality,
    ShiftCalibration,
    check_offset,
    check_shift,
    usable,
)
from epicycle.targeting.calibration_file import as_json, from_json, read_calibrations, write_calibrations
from epicycle.targeting.calibration_fits import fit_backlash, fit_offset, fit_shift

NOW = datetime(2026, 1, 5, 20, tzinfo=UTC)
RING = np.array([(x, y) for x in (-6.0, 0.0, 6.0) for y in (-6.0, 0.0, 6.0)])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.8, 1.2), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(0.8, 1.2), st.integers(0, 999))
def test_image_shift_is_found_through_noise_and_a_wrong_match(
    a: float, b: float, d: float, e: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.array([[a, b], [d, e]])
    moved = RING @ matrix.T + [40.0, -7.0] + rng.normal(0, 0.02, RING.shape)
    moved[int(rng.integers(9))] += [1.3, -1.3]  # a lattice step off
    found = fit_shift(RING, moved, NOW)
    np.testing.assert_allclose(found.matrix, matrix, atol=0.015)
    wanted = matrix @ [3.0, -4.0]
    shift = found.command((float(wanted[0]), float(wanted[1])))
    assert (shift.x_um, shift.y_um) == pytest.approx((3.0, -4.0), abs=0.1)


def test_the_residual_and_the_share_say_how_good_it_is() -> None:
    rng = np.random.default_rng(3)
    several = [fit_shift(RING, RING + rng.normal(0, 0.05, RING.shape), NOW) for _ in range(60)]
    assert np.median([one.quality.residual_um for one in several]) == pytest.approx(0.05, rel=0.2)
    spread = np.std([one.matrix[0][0] for one in several])
    assert np.median([one.share for one in several]) == pytest.approx(spread, rel=0.4)
    sure = several[0].spread((3.0, 4.0))
    assert sure.worst_um == pytest.approx(np.hypot(5 * several[0].share, several[0].quality.residual_um))


@pytest.mark.parametrize(
    ("commanded", "moved", "said"),
    [
        (RING[:3], RING[:3], "at least 4 measurements, got 3"),
        (RING * [1, 0], RING, "lie on one line, which is singular"),
        (RING, RING * [1, 0], "hardly moved with the image shift, or along one line"),
    ],
)
def test_shifts_that_fix_nothing_are_refused(commanded: np.ndarray, moved: np.ndarray, said: str) -> None:
    with pytest.raises(CalibrationRefused, match=said):
        fit_shift(commanded, moved, NOW)


def test_positions_that_are_none_are_bad_input() -> None:
    with pytest.raises(BadInput, match="needs pairs: 9 image shifts and 4 places"):
        fit_shift(RING, RING[:4], NOW)
    with pytest.raises(BadInput, match="not finite"):
        fit_shift(RING, RING * np.nan, NOW)


def test_an_offset_is_the_same_from_points_and_from_edges() -> None:
    rng = np.random.default_rng(4)
    true = np.array([0.12, -0.07])
    points = fit_offset("hole", "exposure", true + rng.normal(0, 0.02, (12, 2)), NOW)
    angle = np.arange(12) * np.pi / 6
    normals = np.column_stack([np.cos(angle), np.sin(angle)])
    along = np.column_stack([-normals[:, 1], normals[:, 0]])
    slid = true + rng.normal(0, 0.02, (12, 2)) + along * rng.normal(0, 2.0, (12, 1))
    edges = fit_offset("hole", "exposure", slid, NOW, normals)
    for found in (points, edges):
        assert (found.x_um, found.y_um) == pytest.approx(tuple(true), abs=0.025)
        assert found.quality.residual_um < 0.04
    with pytest.raises(CalibrationRefused, match="all run in one direction"):
        fit_offset("hole", "exposure", slid, NOW, np.tile([1.0, 0.0], (12, 1)))


def test_backlash_is_told_by_axis_and_direction() -> None:
    rng = np.random.default_rng(5)
    moves = rng.normal(size=(40, 2)) * 30
    ends = np.where(moves > 0, [0.05, -0.1], [-0.4, 0.3]) + rng.normal(0, 0.05, (40, 2))
    ends[7] += 8.0
    found = fit_backlash(moves, ends, NOW)
    np.testing.assert_allclose(found.upwards_um, (0.05, -0.1), atol=0.05)
    np.testing.assert_allclose(found.downwards_um, (-0.4, 0.3), atol=0.05)
    np.testing.assert_allclose(found.play_um, (-0.45, 0.4), atol=0.1)
    assert found.expected_um((3.0, -1.0)) == (found.upwards_um[0], found.downwards_um[1])
    with pytest.raises(CalibrationRefused, match="0 times downwards along x"):
        fit_backlash(np.abs(moves), ends, NOW)


def calibration(**changed: object) -> ShiftCalibration:
    quality = replace(Quality(NOW, 0.03, 9), **changed)  # type: ignore[arg-type]
    return ShiftCalibration(UNIT, 0.002, quality)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"taken_at": NOW - timedelta(hours=30)}, r"is 30 h old, the limit is 24 h; measure it again\.$"),
        ({"taken_at": NOW + timedelta(days=2)}, "in the future"),
        ({"residual_um": 0.4}, r"leaves 0\.40 µm unexplained, the limit is 0\.1 µm"),
        ({"residual_um": float("nan")}, "unexplained"),
        ({"measurements": 3}, "rests on 3 measurements, 5 are needed"),
    ],
)
def test_what_is_stale_or_poor_is_not_aimed_by(changed: dict[str, object], said: str) -> None:
    with pytest.raises(CalibrationRefused, match=said):
        check_shift(calibration(**changed), NOW)


def test_a_singular_calibration_is_not_aimed_by_and_a_good_one_is() -> None:
    flat = replace(calibration(), matrix=((1.0, 2.0), (2.0, 4.0)))
    with pytest.raises(CalibrationRefused, match="is singular"):
        check_shift(flat, NOW)
    good = calibration()
    assert check_shift(good, NOW) is good
    old = PresetOffset("hole", "exposure", 0.1, 0.0, Quality(NOW - timedelta(days=9), 0.01, 8))
    with pytest.raises(CalibrationRefused, match="offset from hole to exposure is 216 h old"):
        check_offset(old, NOW)


def test_of_several_calibrations_each_is_judged_by_itself() -> None:
    good = Quality(NOW, 0.02, 12)
    old = replace(good, taken_at=NOW - timedelta(days=365))
    given_ = Calibrations(
        "m",
        calibration(residual_um=3.0),
        (PresetOffset("hole", "exposure", 0.1, 0.2, good), PresetOffset("square", "hole", 1.0, 2.0, old)),
        Backlash((0, 0), (0.3, 0.3), old),
    )
    kept, refused = usable(given_, NOW)
    assert (kept.image_shift, kept.backlash) == (None, None)
    assert [one.coarse for one in kept.offsets] == ["hole"]
    assert kept.offset("hole", "exposure") == given_.offsets[0]
    assert kept.offset("square", "hole") is None
    assert len(refused) == 3


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    whole = Calibrations(
        "simulated demo-2k",
        ShiftCalibration(((1.01, 0.02), (-0.01, 0.99)), 0.001, Quality(NOW, 0.03, 9)),
        (PresetOffset("hole", "exposure", 0.1, -0.05, Quality(NOW, 0.02, 12)),),
        Backlash((0.1, 0.0), (0.5, 0.4), Quality(NOW, 0.1, 20)),
    )
    for found in (whole, Calibrations("another")):
        write_calibrations(tmp_path / "c.json", found)
        assert read_calibrations(tmp_path / "c.json") == found
        assert from_json(as_json(found)) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"microscope": "m", "image_shift": {"matrix": [[1, 0], [0, "a"]]}}', "image_shift"),
        ('{"microscope": "m", "ofsets": []}', "offsets"),
        ("{}", "microscope is missing"),
    ],
)
def test_a_mistaken_file_is_told_by_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(BadInput, match=rf"c\.json:1: .*{said}"):
        read_calibrations(tmp_path / "c.json")
