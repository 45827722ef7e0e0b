"""Simulated atlases that judges of squares learn from: what is not photographed shows nothing to learn from."""

import numpy as np

from epicycle.cli.square_scenes import set_scene, square_scene
from epicycle.cli.train_squares import _sheets
from epicycle.detectors.training.square_examples import sheet_of


def scene_where(whole):
    return next(scene for scene in map(set_scene, range(40)) if scene.shows_whole is whole)


def test_a_scene_without_a_whole_opening_teaches_nothing():
    scene = scene_where(whole=False)
    taken = scene.taken()
    assert taken.pixels.shape == (scene.preset.rows_px, scene.preset.cols_px)
    assert (sheet_of(taken.pixels, taken.marks, "it").classes >= 0).sum() == 0
    assert [sheet.crops.size for sheet in _sheets(scene.seed)] == [0, 0]


def test_equal_seeds_give_equal_scenes_and_sheets():
    seed = scene_where(whole=True).seed
    one, other = square_scene(seed), square_scene(seed)
    assert np.array_equal(one.pixels, other.pixels)
    assert one.marks == other.marks
    plain, changed = _sheets(seed)
    for first, second in zip((plain, changed), _sheets(seed), strict=True):
        assert np.array_equal(first.crops, second.crops)
        assert np.array_equal(first.classes, second.classes)
    assert plain.group == changed.group
    assert plain.crops.shape != changed.crops.shape or not np.array_equal(plain.crops, changed.crops)
