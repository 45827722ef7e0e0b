"""What the hole-marking network learns: centres, discs and radii of holes in parts of labelled images.

Images are kept standardised and no finer than the network wants them. A part whose holes are much too large or much too
small for the working scale has none to be marked, so that the maps themselves tell whether the scale is right.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...protocols.errors import BadInput
from ..evened import evened
from ..film import view_of
from ..hole_network import ARCHITECTURE, STRIDE, WORKING_RADIUS_PX, HoleMaps, tops
from ..marked_sites import sites_in
from ..regions import Points
from ..working_size import binned
from .calibration import logistic, platt
from .labelled import HoleMark, LabelledImage
from .loop import Batch
from .randomised import drawn, nothing, spoilt

SIDE_PX = 160
_KEPT_RADIUS = 17.0
_LEAST_RADIUS = 2.5
_JITTER = 0.36
_OFF_SCALE, _OFF_LEAST, _OFF_MOST = 0.12, math.log(1.9), math.log(3.2)
_HEAT = 0.22
_UNSURE, _NONE = ("cut", "covered"), "missing"
_MARKED, _MIDDLE = 0.5, 0.7
_REACH, _LEAST_LOGIT = 3, -6.0
_EMPTY_SHARE, _NOTHING_SHARE = 0.1, 0.1
_LEAST_SIDE = 96
_PARTS, _WHOLE_VIEWS = 96, 24
_NEAR, _FAR = 0.5, 0.6


@dataclass(frozen=True, slots=True)
class _Source:
    """An image as it is kept: `sure` says of which holes (n, 2), `radii` (n,) px, the marking is to be learnt."""

    pixels: NDArray[np.float16]
    film: NDArray[np.float16]
    places: Points
    radii: NDArray[np.float64]
    sure: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Marks:
    """What the network marks: `logits` (n,) of its marks, whether each is `right`; `best` (m,) mark near each hole."""

    logits: NDArray[np.float64]
    right: NDArray[np.bool_]
    best: NDArray[np.float64]
    radius_error: float
    loss: float


class HoleMapTask:
    """Learns from some images, is judged by others; see `loop.Task`."""

    architecture = ARCHITECTURE

    def __init__(self, learnt: Sequence[LabelledImage], judged: Sequence[LabelledImage]) -> None:
        """Read and keep all images.

        Raises
        ------
        BadInput
            No image has a hole that is large enough.
        """
        self._learnt = [source for image in learnt if (source := _kept(image)) is not None]
        self._judged = [source for image in judged if (source := _kept(image)) is not None]
        self._whole = list(judged)
        self._holed = [source for source in self._learnt if source.sure.any()]
        self._bare = [source for source in self._learnt if len(source.places) == 0]
        if not self._holed or not any(source.sure.any() for source in self._judged):
            raise BadInput("the labelled images show no holes to learn from, or none is left to be judged by")

    def network(self) -> nn.Module:
        """Make the network."""
        return HoleMaps()

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw parts of images and what is in them: (n, 1, side, side), targets and weights (n, 3, …)."""
        parts = [self._part(rng) for _ in range(size)]
        return tuple(torch.from_numpy(np.stack(arrays)) for arrays in zip(*parts, strict=True))

    def _part(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        if rng.random() < _NOTHING_SHARE:
            side = SIDE_PX // STRIDE
            weight = np.ones((3, side, side), np.float32)
            weight[2] = 0.0
            film = np.ones((SIDE_PX, SIDE_PX), np.float32)
            seen = evened(spoilt(rng, nothing(rng, SIDE_PX)), film, WORKING_RADIUS_PX)
            return seen[None], np.zeros_like(weight), weight
        bare = self._bare and rng.random() < _EMPTY_SHARE
        sources = self._bare if bare else self._holed
        return part_of(sources[int(rng.integers(len(sources)))], rng)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of centres and discs, smooth distance of radii."""
        images, target, weight = batch
        maps = network(images)
        heat = functional.binary_cross_entropy_with_logits(maps[:, 0], target[:, 0], reduction="none")
        heat = (heat * weight[:, 0] * (1 + 6 * target[:, 0])).mean()
        disc = functional.binary_cross_entropy_with_logits(maps[:, 1], target[:, 1], reduction="none")
        disc = (disc * weight[:, 1]).mean()
        radius = functional.smooth_l1_loss(maps[:, 2], target[:, 2], reduction="none", beta=0.1)
        radius = (radius * weight[:, 2]).sum() / weight[:, 2].sum().clamp(min=1.0)
        answer: Tensor = 5 * heat + disc + 0.5 * radius
        return answer

    def settle(self, network: nn.Module) -> None:
        """Calibrate the logit of a centre, by parts of the images held out, to how often a hole stands there."""
        assert isinstance(network, HoleMaps)
        with torch.inference_mode():
            marks = self._marks(network, seed=1)
        a, b = platt(marks.logits, marks.right)
        network.calibration.copy_(torch.tensor([a, b]))
        weights = site_weights(network, self._whole[:: max(1, len(self._whole) // _WHOLE_VIEWS)])
        if weights is not None:
            network.site.copy_(torch.from_numpy(weights))

    def metrics(self, network: nn.Module) -> Mapping[str, float]:
        """Recall and precision of centres at the calibrated half, error of radii, calibration, on parts held out."""
        assert isinstance(network, HoleMaps)
        with torch.inference_mode():
            marks = self._marks(network, seed=2)
        a, b = (float(value) for value in network.calibration)
        right = marks.right[a * marks.logits + b > 0]
        return {
            "recall": float((a * marks.best + b > 0).sum()) / max(len(marks.best), 1),
            "precision": float(right.sum()) / max(len(right), 1),
            "radius error": marks.radius_error,
            "loss": marks.loss,
        }

    def _marks(self, network: HoleMaps, seed: int) -> _Marks:
        """Let the network mark parts of the images held out."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 77])))
        logits, right, best, errors, losses = [], [], [], [], []
        device = next(network.parameters()).device
        for _ in range(min(_PARTS, 6 * len(self._judged))):
            source = self._judged[int(rng.integers(len(self._judged)))]
            batch = tuple(torch.from_numpy(array)[None].to(device) for array in part_of(source, rng))
            maps = network(batch[0])
            losses.append(float(self.loss(network, batch)))
            heat, centre, known = maps[0, 0].cpu().numpy(), batch[1][0, 0].cpu().numpy(), batch[2][0, 0].cpu().numpy()
            marked, marked_right, marked_best, true = marks_by_truth(heat, np.where(known > 0, centre, 0.0), known > 0)
            logits.append(marked)
            right.append(marked_right)
            best.append(marked_best)
            errors += np.abs(maps[0, 2].cpu().numpy() - batch[1][0, 2].cpu().numpy())[true].tolist()
        error = float(np.median(errors)) if errors else math.nan
        joined = np.concatenate(logits).astype(np.float64), np.concatenate(right), np.concatenate(best)
        return _Marks(*joined, error, float(np.mean(losses)))


def marks_by_truth(
    heat: NDArray[np.float32], centre: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Compare the local tops of a map of logits with the centres that it should show.

    Parameters
    ----------
    heat, centre
        Logits answered, and the map wanted, 1 at a hole's middle and falling round it; both (rows, columns).
    known
        Where it is known whether there is a hole.

    Returns
    -------
    tuple
        Logits of the marks in known places (n,); whether each stands on a hole (n,); for each hole whose middle is
        in the map the best mark near it (m,), minus infinity where there is none; the holes' rows and columns (m,).
    """
    rows, cols = tops(heat, _REACH, _LEAST_LOGIT)
    kept = known[rows, cols]
    rows, cols = rows[kept], cols[kept]
    true = tops(centre, _REACH, _MIDDLE)
    near = np.maximum(np.abs(true[0][:, None] - rows), np.abs(true[1][:, None] - cols)) <= _REACH
    best = np.where(near, heat[rows, cols], -np.inf).max(axis=1, initial=-np.inf)
    return heat[rows, cols], centre[rows, cols] > _MARKED, best.astype(np.float64), true


def site_weights(network: HoleMaps, images: Sequence[LabelledImage]) -> NDArray[np.float32] | None:
    """Fit what marks and evidence weigh in the chance of a hole at a site, by whole views; None without sites."""
    designs, truths = [], []
    for image in images:
        holes = _there(image)
        view = view_of(image.pixels(), without_tears=True) if holes else None
        found = None if view is None else sites_in(network, view)
        if found is None:
            continue
        usual = float(np.median([hole.radius_px for hole in holes]))
        sites = np.array([(hole.row_px, hole.col_px) for hole in found[0]])
        true = np.array([(hole.row_px, hole.col_px) for hole in holes])
        sure = np.array([hole.visible and hole.category not in _UNSURE for hole in holes], np.bool_)
        away = np.hypot(*(sites[:, None] - true[None]).transpose(2, 0, 1)) / usual
        there = (away[:, sure] < _NEAR).any(axis=1)
        counted = there | (away > _FAR).all(axis=1)
        designs.append(found[1][counted])
        truths.append(there[counted])
    truth = np.concatenate(truths) if truths else np.empty(0, np.bool_)
    if truth.all() or not truth.any():
        return None
    return np.asarray(logistic(np.concatenate(designs), truth), np.float32)


def _there(image: LabelledImage) -> list[HoleMark]:
    """Give the holes of an image without sites at which there is none."""
    return [hole for hole in image.holes if hole.category != _NONE]


def _kept(image: LabelledImage) -> _Source | None:
    """Read an image, standardise it as the finder does, and shrink it to what the network can use."""
    view = view_of(image.pixels(), without_tears=True)
    if view is None:
        return None
    pixels, step, holes = view.pixels, view.step, _there(image)
    places = np.array([(hole.row_px, hole.col_px) for hole in holes]).reshape(-1, 2)
    radii = np.array([hole.radius_px for hole in holes])
    sure = np.array([hole.visible and hole.category not in _UNSURE for hole in holes], np.bool_)
    usual = float(np.median(radii)) / step if len(radii) else 2 * _KEPT_RADIUS
    if usual < _LEAST_RADIUS:
        return None
    shrunk = max(1, int(usual / _KEPT_RADIUS * 1.5))
    pixels, film, step = binned(pixels, shrunk), binned(view.film.astype(np.float32), shrunk), step * shrunk
    if min(pixels.shape) < _LEAST_SIDE:
        return None
    return _Source(
        pixels.astype(np.float16), film.astype(np.float16), (places - (step - 1) / 2) / step, radii / step, sure
    )


def part_of(source: _Source, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """Draw one part: image (1, side, side), target and weight (3, side / 2, side / 2)."""
    rows, cols = source.pixels.shape
    middle = rng.uniform(0, [rows, cols])
    known = len(source.places) > 0
    if known and rng.random() < 0.75:
        middle = source.places[int(rng.integers(len(source.places)))] + rng.normal(0, WORKING_RADIUS_PX, 2)
    middle = np.clip(middle, 0, [rows - 1, cols - 1])
    off_scale = known and rng.random() < _OFF_SCALE
    size = rng.uniform(-_JITTER, _JITTER)
    if off_scale:
        size = float(rng.uniform(_OFF_LEAST, _OFF_MOST)) * (1 if rng.random() < 0.5 else -1)
    usual = float(np.median(source.radii)) if known else math.exp(rng.uniform(math.log(4), math.log(34)))
    scale = usual / (WORKING_RADIUS_PX * math.exp(size))
    how = drawn(rng, scale, middle, SIDE_PX)
    pixels = source.pixels.astype(np.float32)
    if scale > 1.3:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 * scale), np.float32)
    film = how.cut(source.film.astype(np.float32), SIDE_PX)
    image = evened(spoilt(rng, how.cut(pixels, SIDE_PX)), film, WORKING_RADIUS_PX)
    target, weight = _wanted(source, how.source(SIDE_PX // STRIDE, SIDE_PX // STRIDE, STRIDE), scale)
    if off_scale:
        target[:] = 0.0
        weight[2] = 0.0
    return image[None], target, weight


def _wanted(source: _Source, places: Points, scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the maps that the network should answer at these places of the source, and where they count."""
    shape = places.shape[:2]
    target, weight = np.zeros((3, *shape), np.float32), np.ones((3, *shape), np.float32)
    weight[2] = 0.0
    rows, cols = source.pixels.shape
    inside = ((places > -0.5) & (places < np.array([rows, cols]) - 0.5)).all(-1)
    weight[:2] *= inside
    low, high = places.min((0, 1)), places.max((0, 1))
    for place, radius, sure in zip(source.places, source.radii, source.sure, strict=True):
        if (place < low - radius).any() or (place > high + radius).any():
            continue
        away = np.hypot(places[..., 0] - place[0], places[..., 1] - place[1]) / radius
        disc = away < 1.0
        if sure:
            target[0] = np.maximum(target[0], np.exp(-0.5 * (away / _HEAT) ** 2))
            target[1][disc] = 1.0
            target[2][disc] = math.log(radius / scale / WORKING_RADIUS_PX)
            weight[2][disc & inside] = 1.0
        else:
            weight[:2, away < 1.15] = 0.0
    return target, weight
