"""Pictures drawn for the finders, and the real ones that lie beside the project."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.files.mrc import read_image
from epicycle.hardware.records import Image, Pixels

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "images"

CELLS = {
    "square": ((1.0, 0.0), (0.0, 1.0)),
    "rectangular": ((1.0, 0.0), (0.0, 1.3)),
    "hexagonal": ((1.0, 0.0), (0.5, float(np.sqrt(3) / 2))),
}


@dataclass(frozen=True)
class Drawn:
    """A picture with its truth: all holes whose centre is inside, and those of them that are whole."""

    pixels: Pixels
    centres: NDArray[np.float64]
    whole: NDArray[np.float64]


@pytest.fixture
def real() -> Callable[[str], Image]:
    def load(name: str) -> Image:
        path = REAL / f"{name}.mrc"
        if not path.exists():
            pytest.skip(f"no real images at {REAL}")
        pixels, pixel_size_a = read_image(path)
        return Image(pixels, pixel_size_a, None, name)

    return load


@pytest.fixture
def truth() -> Callable[[str], dict]:
    return lambda name: json.loads((REAL / name).read_text())


@pytest.fixture
def draw_holes() -> Callable[..., Drawn]:
    """Draw holes on film: `pitch` and `radius` px, `tilt` in degrees about a tilted axis, counts of film and hole."""

    def draw(
        rng: np.random.Generator,
        cell: str = "square",
        shape: tuple[int, int] = (600, 640),
        radius: float = 16.0,
        pitch: float = 60.0,
        tilt: float = 0.0,
        film: float = 40.0,
        hole: float = 58.0,
        missing: float = 0.05,
    ) -> Drawn:
        turn, axis = rng.uniform(0, np.pi, 2)
        squeeze = rotation(axis) @ np.diag([1.0, np.cos(np.deg2rad(tilt))]) @ rotation(axis).T
        reach = np.arange(-40, 41)
        numbers = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
        places = numbers @ (np.array(CELLS[cell]) * pitch) @ rotation(turn).T
        places = (places + rng.normal(0, 0.01 * pitch, places.shape)) @ squeeze.T + rng.uniform(0, pitch, 2)
        places += np.array(shape) / 2
        near = ((places > -radius) & (places < np.array(shape) + radius)).all(1)
        places = places[near]
        places = places[rng.random(len(places)) >= missing]
        counts = film * np.exp(0.1 * clouds(rng, shape))
        back = np.linalg.inv(squeeze)
        for place in places:
            low = np.maximum(np.floor(place - radius - 3), 0).astype(int)
            high = np.minimum(np.ceil(place + radius + 4), shape).astype(int)
            rows, cols = np.mgrid[low[0] : high[0], low[1] : high[1]]
            away = np.hypot(*(np.stack([rows - place[0], cols - place[1]], -1) @ back.T).transpose(2, 0, 1))
            own = counts[low[0] : high[0], low[1] : high[1]]
            own *= 1 + np.clip(radius + 0.5 - away, 0, 1) * (hole / film - 1)
        pixels = rng.poisson(cv2.GaussianBlur(counts, (0, 0), 1.0)).astype(np.float32)
        inside = ((places >= 0) & (places <= np.array(shape) - 1)).all(1)
        whole = ((places >= radius) & (places <= np.array(shape) - 1 - radius)).all(1)
        return Drawn(pixels, places[inside], places[whole])

    return draw


@pytest.fixture
def draw_mesh() -> Callable[..., Pixels]:
    """Draw openings of a mesh, sides going `angle_deg` from columns to rows; `special`: counts of some (i, j)."""

    def draw(
        rng: np.random.Generator,
        opening: float = 60.0,
        pitch: float = 90.0,
        angle_deg: float = 20.0,
        shape: tuple[int, int] = (500, 620),
        bright: float = 90.0,
        dark: float = 3.0,
        special: dict[tuple[int, int], float] | None = None,
    ) -> Pixels:
        rows, cols = np.indices(shape)
        turn = rotation(np.deg2rad(angle_deg))
        away = np.stack([rows - shape[0] / 2, cols - shape[1] / 2], -1) @ turn.T
        number = np.rint(away / pitch)
        edge = np.abs(away - pitch * number).max(-1)
        inside = np.clip((opening / 2 - edge) / max(1.0, 0.03 * opening) + 0.5, 0, 1)
        level = np.full(shape, bright)
        for (i, j), other in (special or {}).items():
            level[(number[..., 0] == i) & (number[..., 1] == j)] = other
        return rng.poisson(dark + inside * (level - dark)).astype(np.float32)

    return draw


def rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def clouds(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Slow unevenness of standard deviation 1."""
    field = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), min(shape) / 8)
    return field / field.std()
