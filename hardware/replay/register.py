"""What stands at a place in the recording, and what it costs to have it.

The recording was surveyed in its own way (often many squares ahead), so what an act of the replay costs is not read off
the recorder's clock but added up from bills: one for each tile, square, hole-level image, focus and exposure.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from math import hypot, inf, sqrt
from typing import Any

import numpy as np

from ...protocols.preset import Level
from ..errors import NotRecorded
from .records import Cost, RecordedExposure, RecordedGroup, RecordedSession, RecordedSquare, Survey

SAME_HOLE = 0.25
"""Share of the hole pitch within which a shot hits the recorded place."""


@dataclass(frozen=True, slots=True)
class Bill:
    """One recorded thing that can be had, with the recorder's word for its level."""

    key: str
    level: str
    survey: Survey


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a place: its own bill, those that come before it in the workflow, and what is known of it."""

    bill: Bill
    before: tuple[Bill, ...]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Group:
    square: RecordedSquare
    group: RecordedGroup
    middle: tuple[float, float]


class Register:
    """Everything of one recording, by place.

    Parameters
    ----------
    session
        The recording.
    typical
        Charge what each kind of image typically took instead of what each took.
    """

    def __init__(self, session: RecordedSession, typical: bool = False) -> None:
        self.session, self._typical = session, typical
        self._groups = [_Group(square, its, _middle(its)) for square in session.squares for its in square.groups]
        self._shots = [(group, shot) for group in self._groups for shot in group.group.exposures]
        self._places = np.array([(shot.x_um, shot.y_um) for _, shot in self._shots])
        self._same_hole_um = SAME_HOLE * session.hole_pitch_um()
        self._tiles = {tile.name: Bill(f"tile {tile.name}", "gr", tile.survey) for tile in session.tiles}

    def find(self, level: Level, x_um: float, y_um: float, had: Container[str]) -> Found:
        """Find what was recorded at a stage position.

        Parameters
        ----------
        level
            Of the image asked for.
        x_um, y_um
            Where it is asked for.
        had
            Keys of the bills paid so far; an exposure can be had once.

        Raises
        ------
        NotRecorded
            When nothing was, or all of it was had.
        """
        found: Found | None
        match level:
            case "atlas":
                found = self._tile(x_um, y_um)
            case "square":
                found = self._square(x_um, y_um)
            case "hole":
                found = self._view(x_um, y_um)
            case "focus":
                found = self.focus(x_um, y_um)
            case "exposure":
                found = self._exposure(x_um, y_um, had)
        if found is None:
            raise NotRecorded(f"the recording holds no {level} image of the place ({x_um:.2f}, {y_um:.2f}) µm")
        return found

    def focus(self, x_um: float, y_um: float) -> Found | None:
        """Find the focus images of the group at a place; None when there is no group."""
        at = self._group_at(x_um, y_um)
        return None if at is None else Found(_focus(at), (), {"recorded": at.group.name})

    def price(self, bill: Bill, times: int) -> float:
        """Say what a bill comes to, in seconds, when it was paid so many times before: recorded retakes are in it."""
        if times == 0:
            return self._seconds(bill.survey.cost)
        return 0.0 if times < bill.survey.takes else self.session.retake_s.get(bill.level, 0.0)

    def slowest_s(self) -> float:
        """Give the longest that any one call can take: an image for which nothing before it was asked for."""
        tiles = sum(self._seconds(bill.survey.cost) for bill in self._tiles.values())
        squares = [self._seconds(square.survey.cost) for square in self.session.squares]
        shots = [
            self._seconds(shot.cost) + sum(self._seconds(bill.survey.cost) for bill in _chain(at))
            for at, shot in self._shots
        ]
        return tiles + max(squares + shots, default=0.0)

    def reach_um(self) -> float:
        """Give the farthest that an exposure lies from the middle, or the hole-level image, of its group."""
        return max(
            max(hypot(shot.x_um - x_um, shot.y_um - y_um) for x_um, y_um in (at.middle, (at.group.x_um, at.group.y_um)))
            for at, shot in self._shots
        )

    def _seconds(self, cost: Cost) -> float:
        return cost.typical_s if self._typical else cost.recorded_s

    def _tile(self, x_um: float, y_um: float) -> Found | None:
        tile = self.session.tile_at(x_um, y_um)
        return None if tile is None else Found(self._tiles[tile.name], (), {"recorded": tile.name})

    def _square(self, x_um: float, y_um: float) -> Found | None:
        square = self.session.square_at(x_um, y_um)
        return (
            None if square is None else Found(_survey(square), tuple(self._tiles.values()), {"recorded": square.name})
        )

    def _view(self, x_um: float, y_um: float) -> Found | None:
        at = self._group_at(x_um, y_um)
        return (
            None
            if at is None
            else Found(_view(at), (*self._tiles.values(), _survey(at.square)), {"recorded": at.group.name})
        )

    def _exposure(self, x_um: float, y_um: float, had: Container[str]) -> Found:
        distances = np.hypot(self._places[:, 0] - x_um, self._places[:, 1] - y_um)
        near = np.flatnonzero(distances <= self._same_hole_um)
        near = near[np.argsort(distances[near], kind="stable")]
        bills = [_exposure(self._shots[index][1]) for index in near]
        for index, bill in zip(near, bills, strict=True):
            if bill.key not in had:
                at, shot = self._shots[index]
                return Found(bill, (*self._tiles.values(), *_chain(at)), _told(shot))
        why = f"{bills[0].survey.names[0]} was had already" if bills else "nobody exposed there"
        raise NotRecorded(f"the recording holds no exposure at ({x_um:.2f}, {y_um:.2f}) µm: {why}")

    def _group_at(self, x_um: float, y_um: float) -> _Group | None:
        """Give the group whose hole-level image shows a place, nearest to that image's middle or its exposures'."""
        corner_um = sqrt(2) * self.session.reach_um("hl")
        best, distance = None, inf
        for at in self._groups:
            off_um = hypot(at.group.x_um - x_um, at.group.y_um - y_um)
            its = min(off_um, hypot(at.middle[0] - x_um, at.middle[1] - y_um))
            if off_um <= corner_um and its < distance:
                best, distance = at, its
        return best


def _middle(group: RecordedGroup) -> tuple[float, float]:
    x_um, y_um = np.mean([(shot.x_um, shot.y_um) for shot in group.exposures], axis=0)
    return float(x_um), float(y_um)


def _survey(square: RecordedSquare) -> Bill:
    return Bill(f"square {square.order}", "sq", square.survey)


def _view(at: _Group) -> Bill:
    return Bill(f"view {at.square.order}.{at.group.number}", "hl", at.group.view)


def _focus(at: _Group) -> Bill:
    return Bill(f"focus {at.square.order}.{at.group.number}", "fa", at.group.focus)


def _exposure(shot: RecordedExposure) -> Bill:
    return Bill(f"exposure {shot.order}", "en", Survey((shot.name,), 1, shot.cost))


def _chain(at: _Group) -> tuple[Bill, ...]:
    """Give what comes before an exposure of this group, but for the atlas."""
    return _survey(at.square), _view(at), _focus(at)


def _told(shot: RecordedExposure) -> dict[str, Any]:
    """Give what the recording says of an exposure; None where it says nothing."""
    return {
        "recorded": shot.name,
        "recorded_at": shot.at.isoformat(sep=" "),
        "ctf_max_res": shot.ctf_max_res,
        "ctf_confidence": shot.ctf_confidence,
    }
