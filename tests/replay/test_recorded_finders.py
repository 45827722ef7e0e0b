"""Finders and policy of a recording: its squares, holes and order, in the frame of whatever image they are asked on."""

from pathlib import Path

import numpy as np
import pytest

from epicycle.detectors.recorded import recorded_holes, recorded_squares
from epicycle.detectors.records import Site
from epicycle.hardware.records import Affine, Image
from epicycle.hardware.replay.reading import read_session
from epicycle.policies.contract import PolicyContract
from epicycle.policies.recorded_order import recorded_order
from epicycle.policies.records import Offer, Policy, Question, SessionView
from epicycle.protocols.errors import BadInput

TURNED: Affine = ((0.03, -0.4, 120.0), (0.4, 0.03, -80.0))
NO_PIXELS = np.zeros((1, 1), np.float32)


def on_stage(affine: Affine, row: float, col: float) -> tuple[float, float]:
    x_um, y_um = np.array(affine) @ (row, col, 1.0)
    return float(x_um), float(y_um)


def test_squares_in_recorded_order_in_the_frame_of_the_atlas(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    found = recorded_squares({"folder": str(awkward_folder)}).find(Image(NO_PIXELS, 4000.0, TURNED, "atlas"))
    assert [square.features["order"] for square in found.squares] == [1.0, 2.0, 3.0, 4.0]
    assert [square.features["exposures"] for square in found.squares] == [0.0, 3.0, 2.0, 4.0]
    for square, recorded in zip(found.squares, session.squares, strict=True):
        assert on_stage(TURNED, square.row_px, square.col_px) == pytest.approx((recorded.x_um, recorded.y_um), abs=1e-9)
        corners = np.array([on_stage(TURNED, *corner) for corner in square.corners_px])
        far = max((abs(shot.x_um - recorded.x_um) for shot in recorded.exposures), default=0.0)
        assert np.ptp(corners[:, 0]) >= 2 * far
        side_px = np.linalg.norm(np.subtract(square.corners_px[0], square.corners_px[1]))
        assert square.area_px == pytest.approx(side_px**2)


def test_without_a_frame_positions_are_stage_micrometres(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    image = Image(NO_PIXELS, None, None, "g02-s002")
    square = recorded_squares({"folder": str(awkward_folder)}).find(image).squares[1]
    assert (square.row_px, square.col_px) == pytest.approx((session.squares[1].x_um, session.squares[1].y_um))
    hole = recorded_holes({"folder": str(awkward_folder)}).find(image).holes[0]
    assert (hole.row_px, hole.col_px) == pytest.approx((session.exposures[0].x_um, session.exposures[0].y_um))


def test_holes_are_the_exposures_of_one_stay_with_group_and_order(awkward_folder: Path) -> None:
    finder = recorded_holes({"folder": str(awkward_folder)})
    holes = finder.find(Image(NO_PIXELS, None, None, "g02-s004")).holes
    assert [hole.features["order"] for hole in holes] == [6.0, 7.0, 8.0, 9.0]
    assert [hole.features["group"] for hole in holes] == [1.0, 1.0, 2.0, 2.0]
    assert {hole.status for hole in holes} == {Site.HOLE}
    told = {name for hole in holes for name in hole.features}
    assert told == {"order", "group"}, "what an exposure will show must not be offered"


def test_a_square_is_known_by_its_place_too(awkward_folder: Path) -> None:
    square = read_session(awkward_folder).squares[3]
    affine: Affine = ((0.0, 0.08, square.x_um - 0.08 * 31.5), (0.08, 0.0, square.y_um - 0.08 * 31.5))
    image = Image(np.zeros((64, 64), np.float32), 800.0, affine, "seen")
    holes = recorded_holes({"folder": str(awkward_folder)}).find(image).holes
    assert [hole.features["order"] for hole in holes] == [6.0, 7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    ("name", "said"),
    [("g02-s001", "nothing was exposed"), ("g02-s005", "knows no square"), ("seen", "knows no square")],
)
def test_an_empty_answer_says_why(awkward_folder: Path, name: str, said: str) -> None:
    found = recorded_holes({"folder": str(awkward_folder)}).find(Image(NO_PIXELS, None, None, name))
    assert found.holes == ()
    assert said in found.reason


def test_predictions_made_before_the_exposure_are_offered(aldolase: Path) -> None:
    holes = recorded_holes({"folder": str(aldolase)}).find(Image(NO_PIXELS, None, None, "g01-s002")).holes
    assert len(holes) == 126
    assert holes[0].features["predicted_ctf_a"] == 10.25


def test_unknown_options_are_refused(awkward_folder: Path) -> None:
    for factory in (recorded_squares, recorded_holes):
        with pytest.raises(BadInput, match="option size of the finder"):
            factory({"folder": str(awkward_folder), "size": 3})
    with pytest.raises(BadInput, match="recorded-order"):
        recorded_order({"size": 3})


class TestRecordedOrderPolicy(PolicyContract):
    def make(self) -> Policy:
        return recorded_order({})


def offers(question: Question, orders: dict[int, float | None], want: int = 0) -> SessionView:
    category = "good" if question == "squares" else "hole"
    made = [
        Offer(n, n, 0.0, 0.0, 1.0, category, {} if order is None else {"order": order}) for n, order in orders.items()
    ]
    return SessionView(question, tuple(made), (), want, 0)


@pytest.mark.parametrize("question", ["squares", "holes"])
def test_the_recorded_order_is_chosen(question: Question) -> None:
    rng = np.random.default_rng(0)
    choice = recorded_order({}).choose(offers(question, {1: 30.0, 2: 4.0, 3: None, 4: 17.0}), rng)
    assert choice.chosen == (2, 4, 1)
    assert "no place" in choice.reasons[3]
    some = recorded_order({}).choose(offers(question, {1: 30.0, 2: 4.0, 3: None, 4: 17.0}, want=2), rng)
    assert some.chosen == (2, 4)
    assert "recorded before" in some.reasons[1]
