"""A hole's score is its own: the same in any company, turned by right angles, and at another gain."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are an optional extra")
pytest.importorskip("safetensors", reason="networks are an optional extra")

from epicycle.detectors import network_weights  # noqa: E402
from epicycle.detectors.hole_crops import KNOWN, NOMINAL, UNKNOWN, hole_levels  # noqa: E402
from epicycle.detectors.network_holes import scored  # noqa: E402
from epicycle.detectors.records import WORTH, FoundHole, Site  # noqa: E402
from epicycle.detectors.score_networks import (  # noqa: E402
    AVERAGE_POOL,
    OWN,
    PADDED,
    OwnScorer,
    chances,
    scorer_of,
)
from epicycle.detectors.training.hole_quality import HoleScoreTask, fitness, shows_both  # noqa: E402
from epicycle.detectors.training.labelled import HoleMark, LabelledImage  # noqa: E402
from epicycle.detectors.training.loop import Plan, fresh, train  # noqa: E402
from epicycle.files.mrc import write_mrc  # noqa: E402
from epicycle.protocols.errors import BadInput  # noqa: E402

RADIUS, VACUUM = 16.0, 70.0


@pytest.fixture(params=[OWN, AVERAGE_POOL, PADDED])
def network(request):
    """The shipped network, and the published architectures with random weights whose answers differ."""
    torch.manual_seed(3)
    made = scorer_of(request.param).eval()
    if request.param == OWN:
        network_weights.load(made, network_weights.shipped(OWN), made.architecture)
    else:
        made.calibration.copy_(torch.tensor([20.0, 0.0]))
    return made


@pytest.fixture
def own():
    made = OwnScorer().eval()
    network_weights.load(made, network_weights.shipped(OWN), made.architecture)
    return made


@pytest.fixture
def picture(draw_holes):
    drawn = draw_holes(np.random.default_rng(5), shape=(361, 361), radius=RADIUS)
    near = ((drawn.whole > 50) & (drawn.whole < 310)).all(axis=1)
    places = drawn.whole[near]
    # Holes of different levels, so that scores differ.
    pixels = drawn.pixels.copy()
    rows, cols = np.indices(pixels.shape)
    for number, (row, col) in enumerate(places):
        pixels[np.hypot(rows - row, cols - col) < 0.9 * RADIUS] *= 0.5 + 0.05 * number
    return pixels, places


def score(network, pixels, places, vacuum=None):
    return chances(network, network.crops(np.ascontiguousarray(pixels, np.float32), places, RADIUS, vacuum))


def test_a_score_is_the_same_alone_and_in_company(network, picture):
    pixels, places = picture
    together = score(network, pixels, places, VACUUM)
    alone = [float(score(network, pixels, places[[n]], VACUUM)[0]) for n in range(len(places))]
    assert np.ptp(together) > 1e-3
    assert np.abs(together - alone).max() <= 1e-6


def test_quarter_turns_change_nothing(network, picture):
    pixels, places = picture
    straight = score(network, pixels, places)
    last = pixels.shape[0] - 1
    turned_places = np.stack([last - places[:, 1], places[:, 0]], axis=1)
    turned = score(network, np.rot90(pixels), turned_places)
    assert np.abs(straight - turned).max() <= 0.02


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_another_gain_changes_nothing(network, picture, gain):
    pixels, places = picture
    for vacuum in (None, VACUUM):
        other = score(network, gain * pixels, places, vacuum and gain * vacuum)
        assert np.abs(score(network, pixels, places, vacuum) - other).max() <= 0.02


def test_vacuum_tells_and_the_nominal_dose_is_believed_less(own, picture):
    pixels, places = picture
    levels = hole_levels(np.asarray(pixels, np.float32), places, RADIUS)
    unknown, nominal, known = (
        levels.numbers(), levels.numbers(VACUUM, nominal=True), levels.numbers(VACUUM)
    )  # fmt: skip
    assert {float(told[0, -1]) for told in (unknown, nominal, known)} == {UNKNOWN, NOMINAL, KNOWN}
    assert np.array_equal(nominal[:, :-1], known[:, :-1])
    said = [chances(own, [torch.from_numpy(told)]) for told in (unknown, nominal, known)]
    assert np.abs(said[0] - said[2]).max() > 0.02
    assert np.abs(said[1] - said[2]).max() > 1e-3


def test_a_finder_takes_vacuum_from_its_option_then_from_the_dose(own, picture):
    pixels, places = picture
    holes = [FoundHole(float(row), float(col), RADIUS, 0.9, Site.HOLE, 1.0) for row, col in places]

    def fits(vacuum, nominal):
        return np.array([hole.features["fit"] for hole in scored(own, pixels, holes, vacuum, nominal)])

    assert np.array_equal(fits(VACUUM, 2 * VACUUM), fits(VACUUM, None))
    assert np.abs(fits(None, VACUUM) - fits(None, None)).max() > 1e-3
    # Half of the picture is brighter than that: these counts are no electrons.
    assert np.array_equal(fits(None, 0.5 * float(np.median(pixels))), fits(None, None))


def test_labels_say_what_is_fit():
    def mark(category, ice_nm=None):
        return HoleMark(0, 0, 5, category, ice_nm=ice_nm)

    assert fitness(mark("usable")) is True
    assert fitness(mark("poor", 40.0)) is True
    assert fitness(mark("poor", 300.0)) is False
    assert fitness(mark("covered")) is False
    assert fitness(mark("poor")) is None
    assert fitness(mark("")) is None
    assert fitness(mark("Good")) is True
    assert all(fitness(mark(word)) is not None for word in (*Site, *WORTH))
    with pytest.raises(BadInput, match="no label of holes is called god; fit are usable, hole, good"):
        fitness(mark("god"))


def test_what_a_finder_said_is_no_label(tmp_path):
    said, found = HoleMark(0, 0, 5, "good"), HoleMark(0, 0, 5, "missing", labelled=False)
    image = LabelledImage(tmp_path / "a.mrc", "hole", None, "a", (said, found), ())
    assert not shows_both([image])
    assert shows_both([image, replace(image, holes=(replace(found, labelled=True),))])


@pytest.mark.parametrize("name", [OWN, AVERAGE_POOL, PADDED])
def test_every_scorer_learns_from_labels(tmp_path, draw_holes, name):
    images = []
    for number in range(3):
        drawn = draw_holes(np.random.default_rng(number), shape=(190, 190), radius=12.0, pitch=48.0)
        pixels, (rows, cols), marks = drawn.pixels.copy(), np.indices((190, 190)), []
        for place, (row, col) in enumerate(drawn.whole):
            bad = place % 2 == 0
            if bad:
                pixels[np.hypot(rows - row, cols - col) < 10] *= 0.4
            marks.append(HoleMark(row, col, 12.0, "covered" if bad else "usable"))
        path = tmp_path / f"{number}.mrc"
        write_mrc(path, pixels, 500.0)
        images.append(LabelledImage(path, "hole", 500.0, str(number), tuple(marks), (), 80.0))
    task = HoleScoreTask(name, images[:2], images[2:])
    network = fresh(task, 1)
    # The published architectures are large: a few small steps must do.
    plan = Plan(seed=1, steps=12, batch=8, learning_rate=4e-3) if name == OWN else Plan(1, 5, 4, 2e-3)
    losses = [done.loss for done in train(task, network, plan, tmp_path / "run", torch.device("cpu"))]
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    task.settle(network)
    assert task.metrics(network)["AUC"] > (0.9 if name == OWN else 0.4)


def test_scores_are_not_learnt_from_good_holes_alone(tmp_path, draw_holes):
    images = []
    for number in range(2):
        drawn = draw_holes(np.random.default_rng(number), shape=(200, 200), radius=12.0, pitch=48.0)
        write_mrc(tmp_path / f"{number}.mrc", drawn.pixels, 500.0)
        marks = tuple(HoleMark(row, col, 12.0, "usable") for row, col in drawn.whole)
        images.append(LabelledImage(tmp_path / f"{number}.mrc", "hole", 500.0, str(number), marks, ()))
    with pytest.raises(BadInput, match="some of both"):
        HoleScoreTask(OWN, images[:1], images[1:])
