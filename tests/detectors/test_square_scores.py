"""Judges of squares: what their numbers hold to, how they are trained, kept and used."""

import dataclasses
import io
import pickle
import time

import cv2
import numpy as np
import pytest

from epicycle.detectors.contract import SquareFinderContract
from epicycle.detectors.opening_search import search
from epicycle.detectors.records import SquareClass
from epicycle.detectors.scored_squares import scored_squares
from epicycle.detectors.square_class import measured
from epicycle.detectors.square_crops import CROP_PX, crops_of
from epicycle.detectors.square_features import NAMES, STATISTICS, base_table, feature_table, statistics
from epicycle.detectors.square_models import CLASSES, JUDGES, SHIPPED, load_models, save_models
from epicycle.detectors.training import square_scores
from epicycle.detectors.training.labelled import SquareMark
from epicycle.detectors.training.other_cameras import as_other_cameras
from epicycle.detectors.training.square_examples import (
    Examples,
    examples_of,
    load_sheet,
    named_class,
    save_sheet,
    sheet_of,
)
from epicycle.protocols.errors import BadInput


def table_of(pixels):
    found = search(pixels)
    numbers, usual = measured(found.working.pixels, found.regions, found.levels, found.angle_deg, None)
    whole = ~found.cut
    hulls = [region.hull for region, one in zip(found.regions, whole, strict=True) if one]
    centres = np.array([region.hull.mean(axis=0) for region in found.regions])
    crops = crops_of(found.working.pixels, hulls, found.angle_deg, usual)
    return crops, feature_table(crops, base_table(numbers), centres, usual, whole), centres[whole]


@pytest.fixture
def learnable(monkeypatch):
    """Squares of three classes told apart by one number, on twelve images; so few rounds are enough for them."""
    monkeypatch.setattr(square_scores, "ROUNDS", 40)
    rng = np.random.default_rng(3)
    classes = np.tile([0, 1, 5], 80)
    table, seven = rng.normal(0, 1, (240, len(NAMES))), rng.normal(0, 1, (240, len(STATISTICS)))
    table[:, 4] += 4 * classes
    seven[:, 0] += 4 * classes
    return Examples(table, seven, classes, np.repeat([f"image {i}" for i in range(12)], 20))


def test_a_crop_is_upright_and_of_one_scale(draw_mesh):
    crops, _, _ = table_of(draw_mesh(np.random.default_rng(1), opening=80, pitch=110, angle_deg=33))
    middle, edge = CROP_PX // 2, CROP_PX // 10
    assert crops.shape[1:] == (CROP_PX, CROP_PX)
    assert np.median(crops[:, middle - 20 : middle + 20, middle - 20 : middle + 20]) == pytest.approx(1, abs=0.05)
    for side in (crops[:, :edge], crops[:, -edge:], crops[:, :, :edge], crops[:, :, -edge:]):
        assert np.abs(np.median(side)) < 0.1


@pytest.mark.parametrize("change", ["gain and offset", "quarter turn", "mirrored"])
def test_numbers_do_not_depend_on_storage_and_turn(draw_mesh, change):
    pixels = draw_mesh(np.random.default_rng(2), opening=80, pitch=120, angle_deg=0, special={(0, 0): 45.0})
    pixels[200:210, 300:320] = 5.0
    other = {
        "gain and offset": 0.01 * pixels - 7, "quarter turn": np.rot90(pixels), "mirrored": pixels[:, ::-1]
    }[change]  # fmt: skip
    _, plain, places = table_of(pixels)
    _, changed, others = table_of(np.ascontiguousarray(other, np.float32))
    if change == "quarter turn":
        others = np.c_[others[:, 1], pixels.shape[1] - 1 - others[:, 0]]
    if change == "mirrored":
        others = np.c_[others[:, 0], pixels.shape[1] - 1 - others[:, 1]]
    twin = np.array([np.argmin(np.hypot(*(others - place).T)) for place in places])
    off = np.abs(changed[twin] - plain) / (np.abs(plain) + plain.std(axis=0) + 0.05)
    assert plain.shape == changed.shape
    assert np.median(off) < 0.01
    assert np.quantile(off, 0.95) < 0.25


def test_training_learns_what_is_to_be_learnt_and_says_how_well(learnable, tmp_path):
    models, metrics, count = square_scores.trained(learnable, seed=1)
    assert count == 240
    for judge in JUDGES:
        assert metrics[f"{judge}: balanced accuracy"] > 0.9
        told = models.probabilities(judge, learnable.table, learnable.statistics)
        assert told.sum(axis=1) == pytest.approx(np.ones(240))
        assert told[:, [2, 3, 4]].max() < 0.05
    save_models(models, tmp_path / "it.safetensors")
    kept = load_models(tmp_path / "it.safetensors")
    for judge in JUDGES:
        first, second = (one.probabilities(judge, learnable.table, learnable.statistics) for one in (models, kept))
        assert np.array_equal(first, second)


def test_arrays_say_what_the_library_says(learnable):
    ensemble = pytest.importorskip("sklearn.ensemble")
    models = square_scores.grown(learnable, seed=2)
    forest = ensemble.RandomForestClassifier(
        square_scores.FOREST, max_leaf_nodes=square_scores.FOREST_LEAVES, min_samples_leaf=4, random_state=2
    ).fit(learnable.statistics.astype(np.float32), learnable.classes, sample_weight=np.ones(240))
    told = np.exp(models.log_odds("forest", learnable.table, learnable.statistics))[:, [0, 1, 5]]
    assert told == pytest.approx(np.maximum(forest.predict_proba(learnable.statistics), 1e-3), abs=1e-5)


def test_training_again_gives_the_same(learnable):
    models, again = (square_scores.grown(learnable, seed=3) for _ in range(2))
    for name, array in models.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name


def test_other_cameras_change_how_a_square_looks_and_not_where_it_is(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(7), opening=60, pitch=90, angle_deg=12)
    places = _middles(search(pixels))
    looks = [as_other_cameras(np.random.default_rng(seed), pixels) for seed in range(20)]
    assert np.array_equal(looks[5], as_other_cameras(np.random.default_rng(5), pixels))
    assert not any(np.array_equal(look, pixels) for look in looks)
    calm = cv2.blur(pixels, (9, 9))[::5, ::5].ravel()
    for look in looks:
        assert look.dtype == np.float32
        assert np.corrcoef(cv2.blur(look, (9, 9))[::5, ::5].ravel(), calm)[0, 1] > 0.9
        others = _middles(search(look))
        assert len(others) == len(places)
        away = np.hypot(*(others[:, None] - places[None]).transpose(2, 0, 1)).min(axis=1)
        assert np.quantile(away, 0.9) < 4.0


def test_other_cameras_are_at_times_as_noisy_as_film_is_bright(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(8), opening=60, pitch=90, angle_deg=0)
    height = np.ptp(np.quantile(pixels, [0.01, 0.99]))
    looks = [as_other_cameras(np.random.default_rng(seed), pixels) for seed in range(30)]
    noise = [float(np.median(np.abs(np.diff(look, axis=1)))) / (0.954 * height) for look in looks]
    assert 3 <= sum(one > 0.1 for one in noise) <= 16
    assert max(noise) > 0.3


def _middles(found):
    hulls = [found.working.here(region.hull) for region in found.regions]
    return np.array([(hull.min(axis=0) + hull.max(axis=0)) / 2 for hull in hulls])


def test_hot_pixels_do_not_change_what_squares_are_called(real):
    image = real("lowmag_20may08a")
    rng = np.random.default_rng(11)
    hot = np.where(rng.random(image.pixels.shape) < 1e-4, 1e4, image.pixels).astype(np.float32)
    finder = scored_squares({})
    plain, other = finder.find(image).squares, finder.find(dataclasses.replace(image, pixels=hot)).squares
    assert len(plain) == len(other) == 48
    assert np.median([abs(a.score - b.score) for a, b in zip(plain, other, strict=True)]) < 0.02
    assert sum(a.category is b.category for a, b in zip(plain, other, strict=True)) >= 45


def test_a_facilitys_labels_move_the_judges(learnable):
    models, _, _ = square_scores.trained(learnable, seed=1)
    theirs = Examples(learnable.table, learnable.statistics, (learnable.classes == 5) * 5, learnable.groups)
    moved, before, after = square_scores.moved(models, theirs, seed=4)
    assert before["boosting: balanced accuracy"] < 0.8
    assert after["boosting: balanced accuracy"] > 0.95
    assert np.array_equal(moved.boosting.value, models.boosting.value)


def test_too_little_to_learn_from_is_refused(learnable):
    with pytest.raises(BadInput, match="too few"):
        square_scores.trained(learnable.where(learnable.classes == 0), seed=1)


def test_sheets_hold_the_labels_of_what_was_found(draw_mesh, tmp_path):
    pixels = draw_mesh(np.random.default_rng(5), opening=60, pitch=90, angle_deg=0)
    centre = np.array(pixels.shape) / 2
    box = [(-30, -30), (-30, 30), (30, 30), (30, -30)]
    corners = tuple((float(centre[0] + a), float(centre[1] + b)) for a, b in box)
    sheet = sheet_of(pixels, [SquareMark(corners, "crystalline")], "one")
    assert (sheet.classes >= 0).sum() == 1
    assert CLASSES[sheet.classes.max()] is SquareClass.CONTAMINATED
    save_sheet(sheet, tmp_path / "sheet.npz")
    examples, kept = examples_of([sheet]), examples_of([load_sheet(tmp_path / "sheet.npz")])
    assert examples.table.shape == (1, len(NAMES))
    assert np.isfinite(examples.table).all()
    assert np.array_equal(examples.table, kept.table)
    assert examples.groups.tolist() == ["one"]
    assert examples_of([sheet_of(np.zeros((64, 64), np.float32), [], "blank")]).classes.size == 0


def test_a_small_square_is_labelled_by_the_middle_that_is_seen(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(5), opening=30, pitch=90, angle_deg=0)
    centre = np.array(pixels.shape) / 2
    box = [(-30, -30), (-30, 30), (30, 30), (30, -30)]
    corners = tuple((float(centre[0] + a), float(centre[1] + b)) for a, b in box)
    small, thick = (sheet_of(pixels, [SquareMark(corners, name)], "one").classes for name in ("small", "thick"))
    assert ((small >= 0).sum(), (thick >= 0).sum()) == (1, 0)


def test_names_of_classes():
    assert named_class("Thick") is SquareClass.SMALL_OR_THICK
    assert named_class("broken or dry") is SquareClass.BROKEN_OR_DRY
    with pytest.raises(BadInput, match="good"):
        named_class("splendid")


class _Opens:
    def __reduce__(self):
        return (open, ("/nowhere/touched", "w"))


@pytest.mark.parametrize("kind", ["missing", "cut off", "pickled", "of another network"])
def test_weights_that_are_none_are_refused_in_words(kind, tmp_path):
    path = tmp_path / "it.safetensors"
    if kind == "cut off":
        path.write_bytes(SHIPPED.read_bytes()[:5000])
    if kind == "pickled":
        path.write_bytes(pickle.dumps(_Opens()))
    if kind == "of another network":
        from safetensors.numpy import save

        path.write_bytes(save({"a": np.zeros(3)}, metadata={"architecture": "hole-marks-1"}))
    with pytest.raises(BadInput, match=r"it\.safetensors"):
        scored_squares({"weights": path})


def test_unknown_options_are_refused():
    with pytest.raises(BadInput, match="judge"):
        scored_squares({"judge": "oracle"})


def test_the_statistics_are_seven(draw_mesh):
    crops, _, _ = table_of(draw_mesh(np.random.default_rng(6)))
    base = np.ones((len(crops), 11))
    found = statistics(crops, base)
    assert found.shape == (len(crops), 7)
    assert found[:, 0] == pytest.approx(1, abs=0.1)
    assert (found[:, 2] <= found[:, 0]).all()
    assert (found[:, 3] >= found[:, 0]).all()


class TestScoredSquares(SquareFinderContract):
    def finder(self):
        return scored_squares({})


def test_torn_and_cut_squares_of_the_real_tile_are_in_the_lower_half(real):
    image = real("lowmag_20may08a")
    finder = scored_squares({})
    finder.find(image)
    start = time.process_time()
    found = finder.find(image)
    assert time.process_time() - start < 1.2
    assert len(found.squares) == 48
    median = np.median([square.score for square in found.squares])
    for row, col in ((369, 326), (690, 216), (802, 540), (584, 324)):
        torn = min(found.squares, key=lambda square: np.hypot(square.row_px - row, square.col_px - col))
        assert torn.score < median
    assert all(square.score < median for square in found.squares if square.partial)


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_noise_on_the_real_tile_is_not_called_dirt(real, share):
    image = real("lowmag_20may08a")
    finder = scored_squares({})
    whole = [square for square in finder.find(image).squares if not square.partial]
    height = np.median([square.mean for square in whole]) - np.quantile(image.pixels, 0.02)
    noise = share * height * np.random.default_rng(3).standard_normal(image.pixels.shape)
    noisy = finder.find(dataclasses.replace(image, pixels=(image.pixels + noise).astype(np.float32))).squares
    assert sum(square.category is SquareClass.CONTAMINATED for square in noisy) <= 8


def test_probabilities_are_told_with_each_whole_square(real):
    for square in scored_squares({}).find(real("lowmag_20may08a")).squares:
        chances = [square.features.get(f"p_{kind.value}") for kind in CLASSES]
        if square.partial:
            assert chances == [None] * len(CLASSES)
            continue
        assert sum(chances) == pytest.approx(1)
        assert square.score == chances[0]
        assert CLASSES[int(np.argmax(chances))] is square.category


def test_reading_weights_needs_no_trees_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    assert load_models(SHIPPED).boosting.first.size % len(CLASSES) == 0
    assert io.BytesIO(SHIPPED.read_bytes()).getbuffer().nbytes < 4e6
