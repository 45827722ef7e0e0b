"""Exposures: projected potential of ice, film and particles through a real contrast transfer, as a sum or as frames.

Ice and film are amorphous: noise in phase whose power grows with thickness (`amorphous`). The film stands still; ice is
stirred by the beam (`damage`), so what frames far apart in dose show of it is different noise. Frames are rendered in
groups between which the specimen changes, and moved within each group; a sum that nobody asks the frames of is
rendered at once, from the mean over the same groups.
"""

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .beam_motion import TAPS, moved, stations
from .counting import counted_share, counts
from .exit_waves import ExitWaves
from .exposure_scene import Scene, Setting
from .specimen import Layer

Floats = NDArray[np.float64]

GROUPS = 8
"""Most groups of frames between which the specimen changes."""


def render_sum(
    scene: Scene, setting: Setting, path_px: Floats, rng: np.random.Generator, most: int, groups: int = GROUPS
) -> NDArray[np.int16]:
    """Render the sum of all frames as it is read out unaligned, counts, (rows, cols); it stands where the mean does.

    Parameters
    ----------
    path_px
        Where the specimen stands at the beginning of each frame and at the end of the last, (row, col); shape
        (frames + 1, 2).
    most
        Greatest count that is kept.
    groups
        Most groups of frames between which the specimen changes.
    """
    places = stations(path_px)
    mean = np.mean([place.mean(axis=0) for place in places], axis=0)
    grouped = [[places[frame] - mean for frame in group] for group in _groups(len(places), groups)]
    contrast = ExitWaves(scene, setting, rng).contrast_of_all(grouped)
    return counts(_lit(contrast, scene, setting, 1.0), setting.camera, rng, most).astype(np.int16)


def render_frames(
    scene: Scene, setting: Setting, path_px: Floats, rng: np.random.Generator, most: int, groups: int = GROUPS
) -> Iterator[Layer | NDArray[np.uint8]]:
    """Render the frames one after the other, counts, each (rows, cols); see `render_sum`."""
    waves = ExitWaves(scene, setting, rng)
    places = stations(path_px)
    grouped = _groups(len(places), groups)
    for number, group in enumerate(grouped):
        # Within a group the specimen is one picture, blurred by how frames of it move; frames are shifts of that.
        stands = np.array([places[frame].mean(axis=0) for frame in group])
        middle = stands.mean(axis=0)
        blur = [places[frame] - stand for frame, stand in zip(group, stands, strict=True)]
        expected = _lit(waves.contrast_of_group(number, len(grouped), middle, blur), scene, setting, 1 / len(places))
        if len(group) == 1:
            yield counts(expected, setting.camera, rng, most)
            continue
        margin = int(np.ceil(np.abs(stands - middle).max())) + TAPS
        padded = np.asarray(cv2.copyMakeBorder(expected, *(margin,) * 4, cv2.BORDER_REFLECT_101), np.float32)
        for stand in stands:
            yield counts(moved(padded, margin, stand - middle), setting.camera, rng, most)


def _lit(contrast: Layer, scene: Scene, setting: Setting, share: float) -> Layer:
    """Turn contrast into the electrons that are expected in this share of the exposure."""
    rate = float(np.mean(scene.electrons)) / scene.exposure_s
    share *= counted_share(rate, setting.camera)
    contrast += np.float32(1)
    contrast *= np.asarray(scene.electrons, np.float32) * np.float32(share)
    contrast += np.float32(setting.camera.dark_e_per_px * share)
    return contrast


def _groups(frames: int, most: int) -> list[range]:
    """Divide frames into groups of nearly equal length."""
    ends = [round(frames * n / min(frames, most)) for n in range(min(frames, most) + 1)]
    return [range(first, last) for first, last in pairwise(ends)]
