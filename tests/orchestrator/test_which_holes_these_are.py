"""A view's holes are told apart by the square's picture, earlier groups and the lattice; contradictions are left."""

import cv2
import numpy as np
import pytest

from epicycle.hardware.records import Image
from epicycle.imaging.across_levels import Offset, offset_between
from epicycle.orchestrator.recognising import LEAD, NOTHING, SURE_OF_PICTURE, Believed, Recognised, judged

STEP_UM = 2.5
FRESH = Believed((0.0, 0.0), 0, reloaded=False)
RELOADED = Believed((0.0, 0.0), 0, reloaded=True)


def lattice_at(true_um: tuple[float, float]):
    """Match as a lattice does: the step's multiple that is nearest to where it is looked for."""

    def match(near_um: tuple[float, float]) -> Recognised | None:
        off = [n + (t - n + STEP_UM / 2) % STEP_UM - STEP_UM / 2 for n, t in zip(near_um, true_um, strict=True)]
        gap = np.hypot(off[0] - near_um[0], off[1] - near_um[1])
        return Recognised((off[0], off[1]), 9) if gap <= 0.48 * STEP_UM else NOTHING

    return match


def test_a_stage_more_than_half_a_step_off_is_told_by_the_picture():
    true = (1.7, 0.3)
    alone = judged(None, FRESH, lattice_at(true), STEP_UM)
    assert alone.off_um == pytest.approx((-0.8, 0.3)), "the lattice alone takes the neighbour"
    assert judged(Offset(1.72, 0.28, 0.95, 0.1), FRESH, lattice_at(true), STEP_UM).off_um == pytest.approx(true)


def test_a_picture_as_good_a_step_away_is_not_believed():
    found = judged(Offset(2.5, 0.0, 0.95, 0.001), FRESH, lattice_at((0.0, 0.0)), STEP_UM)
    assert found.off_um == pytest.approx((0.0, 0.0))


def test_a_lattice_laid_between_the_holes_is_not_shot_at():
    told = Offset(0.2, 0.1, 0.95, 0.1)
    assert judged(told, FRESH, lattice_at((0.2 + 1.1, 0.1)), STEP_UM) == NOTHING


def test_groups_that_a_sure_picture_contradicts_are_left():
    earlier = Believed((0.1, 0.0), 2, reloaded=False)
    assert judged(Offset(2.55, 0.0, 0.95, 0.1), earlier, lattice_at((0.05, 0.0)), STEP_UM) == NOTHING
    assert judged(Offset(0.05, 0.0, 0.95, 0.1), earlier, lattice_at((0.05, 0.0)), STEP_UM).matched == 9


def test_after_a_reload_the_lattice_alone_says_nothing():
    assert judged(None, RELOADED, lattice_at((0.0, 0.0)), STEP_UM) == NOTHING
    assert judged(Offset(0.0, 0.0, 0.95, 0.001), RELOADED, lattice_at((0.0, 0.0)), STEP_UM) == NOTHING
    assert judged(Offset(5.1, 0.0, 0.95, 0.1), RELOADED, lattice_at((0.0, 0.0)), STEP_UM).off_um == pytest.approx(
        (5.0, 0.0)
    )


def test_where_too_few_holes_are_seen_the_picture_near_by_is_enough():
    told = Offset(0.4, 0.0, 0.5, 0.0)
    assert judged(told, FRESH, lambda _: None, STEP_UM) == Recognised((0.4, 0.0), 1)
    assert judged(Offset(2.4, 0.0, 0.5, 0.0), FRESH, lambda _: None, STEP_UM) == NOTHING
    assert judged(None, FRESH, lambda _: None, STEP_UM) == NOTHING


@pytest.mark.parametrize("spots", [0, 40])
def test_pictures_of_a_lattice_lead_only_where_something_else_is_seen(spots: int):
    """Alike holes are as good a step away; a few spots of ice make the place its own."""
    rng = np.random.default_rng(3)
    film = np.full((1600, 1600), 60.0, np.float32)  # 0.025 µm a pixel
    for row in range(50, 1600, 100):
        for col in range(50, 1600, 100):
            cv2.circle(film, (col, row), 24, 100.0, -1)
    for row, col in rng.uniform(0, 1600, (spots, 2)):
        cv2.circle(film, (int(col), int(row)), 14, 20.0, -1)
    coarse = cv2.resize(film, (400, 400), interpolation=cv2.INTER_AREA)
    fine = film[600:1000, 600:1000].copy()
    views = [view + rng.normal(0, 1.0, view.shape).astype(np.float32) for view in (coarse, fine)]
    there = Image(views[0], 1000.0, ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0)))
    # The stage says 1.5 µm too much: more than half a step.
    here = Image(views[1], 250.0, ((0.025, 0.0, 15.0 - 0.0375 + 1.5), (0.0, 0.025, 15.0 - 0.0375)))
    found = offset_between(there, here, limit_um=3.5)
    assert found is not None
    sure = found.confidence >= SURE_OF_PICTURE and found.lead >= LEAD
    assert sure == bool(spots)
    if sure:
        assert (found.x_um, found.y_um) == pytest.approx((1.5, 0.0), abs=0.05)
