"""Two things that are done to pixels before anything is measured on them: outliers are clipped, detail is averaged."""

import cv2
import numpy as np

from ..hardware.records import Pixels


def clipped(picture: Pixels, sigmas: float) -> Pixels:
    """Bring outlying and non-finite pixels back to what the others show, and the median to zero.

    The spread is taken from the median deviation, so that hot pixels and X-rays do not widen the limits they break.
    """
    image = np.asarray(picture, np.float32)
    sample = image[:: max(1, image.shape[0] // 512), :: max(1, image.shape[1] // 512)]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return np.zeros_like(image)
    middle = float(np.median(sample))
    spread = 1.4826 * float(np.median(np.abs(sample - middle)))
    if spread == 0:
        spread = float(np.std(np.clip(sample, *np.percentile(sample, [1, 99]))))
    cleaned = np.nan_to_num(image - np.float32(middle), nan=0.0)
    return np.asarray(np.clip(cleaned, -sigmas * spread, sigmas * spread, out=cleaned))


def shrunk(picture: Pixels, factor: int) -> Pixels:
    """Average ``factor`` × ``factor`` pixels into one; rows and columns left over at the far sides are dropped."""
    image = np.ascontiguousarray(picture, np.float32)
    if factor == 1:
        return image
    rows, cols = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: rows * factor, : cols * factor]
    return np.asarray(cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA), np.float32)
