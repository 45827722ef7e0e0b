"""Film brought to one level and one contrast, as they are within a few holes: what ice hides comes out.

Ice thickens towards the bars, and holes there are darker than film elsewhere: where brightness falls off, the middle of
what is bright is not the middle of a hole.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .film import View

_REACH_RADII = 3.0
_COARSE_RADIUS_PX = 3.0
_LEAST_SPREAD, _LITTLE_FILM, _MOST = 0.15, 0.02, 5.0


def evened(image: NDArray[np.float32], film: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Bring the film to one level and one contrast everywhere.

    Parameters
    ----------
    image, film
        (rows, cols); film as weight 0..1. What lies off the film tells nothing of its level.
    radius
        Of the holes, px.
    """
    return _without(image, _shade(image, film, radius))


def evened_view(view: View, radius: float) -> View:
    """Bring the film of a view to one level and one contrast; its counts stay those of the image.

    Parameters
    ----------
    view
        Not evened before.
    radius
        Of the holes, px of the view.
    """
    shade = _shade(view.pixels, view.film.astype(np.float32), radius)
    return replace(view, pixels=_without(view.pixels, shade), shade=shade)


def _shade(image: NDArray[np.float32], film: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Give level and contrast of the film near each place, (rows, cols, 2)."""
    rows, cols = image.shape
    step = max(1, int(radius / _COARSE_RADIUS_PX))
    size = (max(1, cols // step), max(1, rows // step))
    planes = np.dstack((image * film, image * image * film, film)).astype(np.float32)
    coarse = cv2.resize(planes, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
    whole = coarse.mean(axis=(0, 1)) / max(float(coarse[..., 2].mean()), 1e-6)
    whole[2] = 1.0
    near = cv2.GaussianBlur(coarse, (0, 0), _REACH_RADII * radius / step, borderType=cv2.BORDER_REFLECT)
    near = near.reshape(coarse.shape) + _LITTLE_FILM * whole
    mean = near[..., 0] / near[..., 2]
    spread = np.sqrt(np.maximum(near[..., 1] / near[..., 2] - mean**2, 0.0) + _LEAST_SPREAD**2)
    both = np.dstack((mean, spread)).astype(np.float32)
    return np.asarray(cv2.resize(both, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def _without(image: NDArray[np.float32], shade: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.clip((image - shade[..., 0]) / shade[..., 1], -_MOST, _MOST), np.float32)
