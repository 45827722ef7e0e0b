"""Specimens drawn here with formulas of their own, so that a mistake in the package cannot hide in its test."""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.hardware.records import Image

Floats = NDArray[np.float64]


@pytest.fixture(scope="session")
def real_image() -> Callable[[str], NDArray[np.float32]]:
    """A real image by name, from the project's shared data."""
    from epicycle.files.mrc import read_image

    folder = Path(__file__).parents[3] / "shared" / "data" / "images"

    def read(name: str) -> NDArray[np.float32]:
        path = folder / f"{name}.mrc"
        if not path.exists():
            pytest.skip(f"{path} is not here: the shared data were not handed out with this checkout")
        return read_image(path)[0]

    return read


def _mesh(
    rng: np.random.Generator, side_px: int, pixel_um: float, pitch_um: float, vary: float, texture: float
) -> NDArray[np.float32]:
    """Square openings of different brightness between dark bars, rows and columns along the mesh, 0..1."""
    at = (np.arange(side_px) - side_px / 2) * pixel_um
    nearest = np.round(at / pitch_um).astype(int)
    off = np.abs(at - nearest * pitch_um)
    beyond = np.maximum(off[:, None], off[None, :]) - 0.35 * pitch_um
    open_ = 1 / (1 + np.exp(np.clip(beyond / 0.6, -50, 50)))
    cells = nearest - nearest.min()
    bright = np.exp(-np.abs(rng.normal(0.6, vary, (cells.max() + 1,) * 2)))
    if vary > 0:
        kind = rng.random(bright.shape)
        bright[kind < 0.08] = 0.05
        bright[kind > 0.95] = 1.0
    ice = cv2.GaussianBlur(rng.normal(size=(side_px // 4, side_px // 4)), (0, 0), 4.0)
    ice = cv2.resize(ice / ice.std(), (side_px, side_px))
    return (0.02 + open_ * bright[np.ix_(cells, cells)] * np.exp(-texture * ice)).astype(np.float32)


@pytest.fixture(scope="session")
def mesh() -> Callable[..., NDArray[np.float32]]:
    return _mesh


def _seen(
    world: NDArray[np.float32],
    pixel_um: float,
    to_stage: Floats,
    turn_rad: float,
    shift_um: Floats,
    size_px: tuple[int, int],
    dose: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Photograph a world (middle at its own origin) that lies turned and shifted on the stage, as counts."""
    c, s = math.cos(turn_rad), math.sin(turn_rad)
    back = np.array([[c, s], [-s, c]])
    linear = back @ to_stage[:, :2] / pixel_um
    origin = back @ (to_stage[:, 2] - shift_um) / pixel_um + world.shape[0] / 2
    warp = np.column_stack([linear, origin])[::-1][:, [1, 0, 2]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(world, warp, size_px[::-1], flags=flags, borderValue=0.02)
    return rng.poisson(image * dose).astype(np.float32)


@pytest.fixture(scope="session")
def seen() -> Callable[..., NDArray[np.float32]]:
    return _seen


def _affine(pixel_um: float, turn_deg: float, middle_um: Floats, size_px: tuple[int, int]) -> Floats:
    """Image to stage, 2×3, for a camera turned by an angle whose middle looks at a place."""
    t = math.radians(turn_deg)
    linear = pixel_um * np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]])
    return np.column_stack([linear, middle_um - linear @ ((np.array(size_px) - 1) / 2)])


@pytest.fixture(scope="session")
def affine() -> Callable[..., Floats]:
    return _affine


@pytest.fixture(scope="session")
def as_image() -> Callable[[NDArray[np.float32], Floats], Image]:
    def make(pixels: NDArray[np.float32], to_stage: Floats) -> Image:
        (a, b, c), (d, e, f) = to_stage.tolist()
        scale = math.sqrt(abs(a * e - b * d))
        return Image(pixels, scale * 1e4, ((a, b, c), (d, e, f)))

    return make


def _micrograph(
    rng: np.random.Generator,
    side_px: int,
    pixel_a: float,
    kv: float,
    defocus_um: float,
    *,
    astigmatism_a: float = 0.0,
    angle_deg: float = 0.0,
    snr: float = 0.1,
    b_a2: float = 80.0,
) -> NDArray[np.float32]:
    """Draw weak-phase amorphous ice at positive underfocus; ``snr`` is the ratio of variances of contrast and noise."""
    volts = kv * 1e3
    wave = 12.2643 / math.sqrt(volts + 0.97845e-6 * volts**2)
    ky, kx = np.fft.fftfreq(side_px, pixel_a)[:, None], np.fft.fftfreq(side_px, pixel_a)[None, :]
    k2 = ky**2 + kx**2
    along = defocus_um * 1e4 + astigmatism_a / 2 * np.cos(2 * (np.arctan2(ky, kx) - math.radians(angle_deg)))
    chi = math.pi * wave * along * k2 - 0.5 * math.pi * 2.7e7 * wave**3 * k2**2
    transfer = -np.sin(chi + math.asin(0.07)) * np.exp(-b_a2 / 4 * k2) * (1 + 3 * np.exp(-144 * k2))
    contrast = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side_px, side_px))) * transfer).real
    noise = rng.normal(size=(side_px, side_px))
    return (100 + 10 * (contrast / contrast.std() * math.sqrt(snr) + noise)).astype(np.float32)


@pytest.fixture(scope="session")
def micrograph() -> Callable[..., NDArray[np.float32]]:
    return _micrograph
