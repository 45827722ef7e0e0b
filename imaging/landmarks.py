"""Landmarks: places of the specimen that two images of a pixel-free microscope both saw, by name."""

import numpy as np

from ..hardware.records import Image
from .correlation import Floats


def shared_landmarks(first: Image, second: Image) -> tuple[Floats, Floats]:
    """Give the places (n, 2) in px of the landmarks that both images show, in the same order."""
    one, other = first.sightings.get("landmarks", {}), second.sightings.get("landmarks", {})
    names = [name for name in one if name in other]
    return (
        np.array([one[name] for name in names], np.float64).reshape(-1, 2),
        np.array([other[name] for name in names], np.float64).reshape(-1, 2),
    )
