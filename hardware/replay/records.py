"""A recorded session as a place to go through again: its squares, groups and exposures, where, when and how long.

Two things of a recording do not fit a screening that goes square by square, and are settled here. A square that was
left and returned to is one *stay* for each time, and stays on one square lie 1 nm apart, so that a place tells which is
meant; so do groups that were returned to. And time: every image *took* the time since the image before it, whatever
that was, so that the times of all images add up to the length of the recording in whatever order they are asked for.
Survey images that belong together are one `Survey`, paid for at once: all takes of a square and the hole-level images
under which nothing was ever exposed; the takes of a group's hole-level image; its focus images.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import hypot
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from .places import typical_distance


class Cost(NamedTuple):
    """Seconds that something took in the recording, and that its kind typically took there."""

    recorded_s: float
    typical_s: float

    def plus(self, other: "Cost") -> "Cost":
        """Add up."""
        return Cost(self.recorded_s + other.recorded_s, self.typical_s + other.typical_s)


@dataclass(frozen=True, slots=True)
class Survey:
    """Images that one act stands for.

    ``names`` in recorded order, none where the recording has none; ``takes`` counts those of the level itself.
    """

    names: tuple[str, ...]
    takes: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class RecordedTile:
    """One tile of the atlas, by the stage position of its centre."""

    name: str
    x_um: float
    y_um: float
    survey: Survey


@dataclass(frozen=True, slots=True)
class RecordedExposure:
    """One raw exposure; a hole shot twice is two of them.

    ``order`` counts from 1 through the recording; ``at`` is the recorder's local time. The CTF values are those of its
    motion-corrected copy: None where there is none, and ``ctf_max_res`` 100000 where the fit failed. ``predicted_ctf``
    was predicted from the hole-level image, before the exposure.
    """

    name: str
    order: int
    x_um: float
    y_um: float
    at: datetime
    cost: Cost
    ctf_max_res: float | None
    ctf_confidence: float | None
    predicted_ctf: float | None


@dataclass(frozen=True, slots=True)
class RecordedGroup:
    """Exposures taken one after another by image shift from one hole-level image, whose centre is the place."""

    number: int
    name: str
    x_um: float
    y_um: float
    view: Survey
    focus: Survey
    exposures: tuple[RecordedExposure, ...]


@dataclass(frozen=True, slots=True)
class RecordedSquare:
    """One stay on one square, of which ``order`` counts all; where nothing was exposed there are no groups."""

    order: int
    name: str
    x_um: float
    y_um: float
    survey: Survey
    groups: tuple[RecordedGroup, ...]

    @property
    def exposures(self) -> tuple[RecordedExposure, ...]:
        """All exposures of this stay, in recorded order."""
        return tuple(exposure for group in self.groups for exposure in group.exposures)


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """One grid of a recorded session.

    Attributes
    ----------
    name, atlas
        Of the session and of the atlas replayed.
    started_at
        Time of its first image, the recorder's local time.
    total_s
        From the first image to the last; the recorded costs of all tiles, squares, groups and exposures add up to it.
    tiles, squares
        In recorded order; squares by their first exposure.
    um_per_px
        Scale of each level's images, by the recorder's level (``gr``, ``sq``, ``hl``).
    half_frame_px
        Half the width of each level's images, as far as targets were picked on them.
    retake_s
        Typical time of one further image, by the recorder's level.
    """

    name: str
    atlas: str
    started_at: datetime
    total_s: float
    tiles: tuple[RecordedTile, ...]
    squares: tuple[RecordedSquare, ...]
    um_per_px: Mapping[str, float]
    half_frame_px: Mapping[str, float]
    retake_s: Mapping[str, float]

    @property
    def exposures(self) -> tuple[RecordedExposure, ...]:
        """All exposures in recorded order."""
        return tuple(exposure for square in self.squares for exposure in square.exposures)

    def farthest_um(self) -> float:
        """Give the largest x or y of anything recorded, either way from zero."""
        placed: tuple[_Placed, ...] = (*self.tiles, *self.squares, *self.exposures)
        return max(max(abs(one.x_um), abs(one.y_um)) for one in placed)

    def hole_pitch_um(self) -> float:
        """Measure the typical distance from an exposure to the nearest other one; 1 µm where there is only one."""
        places = np.array([(exposure.x_um, exposure.y_um) for exposure in self.exposures])
        if len(places) < 2:
            return 1.0
        return typical_distance(places) or 1.0

    def tile_at(self, x_um: float, y_um: float) -> RecordedTile | None:
        """Give the tile that shows this place nearest to its middle; None when no tile shows it."""
        return _nearest(self.tiles, x_um, y_um, self.reach_um("gr"))

    def square_at(self, x_um: float, y_um: float) -> RecordedSquare | None:
        """Give the stay whose image shows this place nearest to its middle; None when no square's image shows it."""
        return _nearest(self.squares, x_um, y_um, self.reach_um("sq"))

    def reach_um(self, level: str) -> float:
        """Give how far the recorder's images of a level show to each side of their middle."""
        return self.half_frame_px[level] * self.um_per_px[level]


class _Placed(Protocol):
    @property
    def x_um(self) -> float: ...
    @property
    def y_um(self) -> float: ...


P = TypeVar("P", bound=_Placed)


def _nearest(these: Iterable[P], x_um: float, y_um: float, reach_um: float) -> P | None:
    """Give the one whose image, so many µm to each side of its middle, shows the place nearest to that middle."""
    near = (one for one in these if max(abs(one.x_um - x_um), abs(one.y_um - y_um)) <= reach_um)
    return min(near, key=lambda one: hypot(one.x_um - x_um, one.y_um - y_um), default=None)
