import cv2
import numpy as np
import pytest

from epicycle.hardware.records import Image
from epicycle.imaging.across_levels import offset_between


def views(rng: np.random.Generator, error_um: tuple[float, float], noise: float) -> tuple[Image, Image]:
    """Draw one film of blobs as a coarse view and, turned by 20°, as a finer one whose frame is off by ``error_um``."""
    scene = np.zeros((3000, 3000), np.float32)  # 0.02 µm a pixel
    for row, col in rng.uniform(100, 2900, (300, 2)):
        cv2.circle(scene, (int(col), int(row)), int(rng.uniform(15, 40)), float(rng.uniform(20, 100)), -1)
    coarse = cv2.resize(scene, (375, 375), interpolation=cv2.INTER_AREA)  # 0.16 µm
    coarse_frame = ((0.16, 0.0, -29.93), (0.0, 0.16, -29.93))  # a coarse pixel's middle is that of 8 × 8 fine ones
    angle = np.deg2rad(20.0)
    turn = 0.02 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([1.0, -2.0])
    origin = centre - turn @ np.array([255.5, 255.5])
    true = origin + np.array(error_um)  # what the finer view really shows stands here
    rows, cols = np.mgrid[:512, :512]
    x = turn[0, 0] * rows + turn[0, 1] * cols + true[0]
    y = turn[1, 0] * rows + turn[1, 1] * cols + true[1]
    places = ((y + 30) / 0.02).astype(np.float32), ((x + 30) / 0.02).astype(np.float32)
    fine = cv2.remap(scene, *places, cv2.INTER_LINEAR)
    frame = ((turn[0, 0], turn[0, 1], origin[0]), (turn[1, 0], turn[1, 1], origin[1]))
    noisy = [v + rng.normal(0, noise, v.shape).astype(np.float32) for v in (coarse, fine)]
    return Image(noisy[0], 1600.0, coarse_frame), Image(noisy[1], 200.0, frame)


@pytest.mark.parametrize("error_um", [(0.0, 0.0), (0.7, -0.4), (-1.1, 0.9)])
def test_the_offset_is_found_to_a_part_of_a_coarse_pixel(error_um: tuple[float, float]) -> None:
    coarse, fine = views(np.random.default_rng(4), error_um, noise=8.0)
    found = offset_between(coarse, fine, limit_um=2.0)
    assert found is not None
    # A feature at s is drawn where frame and truth differ by the error: it stands at s - error by the frame.
    assert (found.x_um, found.y_um) == pytest.approx((-error_um[0], -error_um[1]), abs=0.03)
    assert found.confidence > 0.6


def test_unrelated_views_are_not_trusted() -> None:
    rng = np.random.default_rng(7)
    coarse, _ = views(rng, (0.0, 0.0), noise=8.0)
    _, other = views(rng, (0.0, 0.0), noise=8.0)
    found = offset_between(coarse, other, limit_um=2.0)
    assert found is None or found.confidence < 0.5


def test_views_apart_or_without_frames_give_nothing() -> None:
    coarse, fine = views(np.random.default_rng(4), (0.0, 0.0), noise=1.0)
    far = Image(fine.pixels, fine.pixel_size_a, ((0.02, 0.0, 500.0), (0.0, 0.02, 500.0)))
    assert offset_between(coarse, far, 2.0) is None
    assert offset_between(coarse, Image(fine.pixels, 200.0), 2.0) is None
    assert offset_between(coarse, Image(np.ones_like(fine.pixels), 200.0, fine.image_to_stage), 2.0) is None
