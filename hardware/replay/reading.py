"""From the tables of a recorded session to the session: stays, groups, places in µm and times."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...protocols.errors import BadInput
from .places import Places, half_frames
from .records import Cost, RecordedExposure, RecordedGroup, RecordedSession, RecordedSquare, RecordedTile, Survey
from .tables import IMAGES, BadRecording, ImageLine, read_holes, read_images

STAY_STEP_UM = 0.001
ENOUGH_STEPS = 5
PARENT_LEVEL = {"sq": "gr", "hl": "sq", "fa": "hl", "en": "hl"}

SQUARE = attrgetter("tile", "square")
PATCH = attrgetter("patch")

C = TypeVar("C", bound=BaseModel)


class RecordingChoice(BaseModel):
    """Which recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(description="Folder of the recorded session, with images.csv and holes.csv.")
    atlas: str | None = Field(
        default=None, description="Atlas to replay, as in the column of that name; null means the one exposed most."
    )

    def session(self) -> RecordedSession:
        """Read it, once for each process."""
        return read_session(self.folder.expanduser().resolve(), self.atlas)


def checked(model: type[C], options: Mapping[str, Any], whose: str) -> C:
    """Check a plug-in's options.

    Raises
    ------
    BadInput
        With one sentence on the first option that cannot be.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = "; ".join(f"{key}: {field.description}" for key, field in model.model_fields.items())
        raise BadInput(f"option {name} of {whose}: {first['msg'].lower()}. It takes {known}") from None


@dataclass
class _Stay:
    """One stay on one square: its exposures, and the survey images taken for them, in recorded order."""

    visit: int
    exposures: list[ImageLine]
    surveys: list[ImageLine] = field(default_factory=list)


@lru_cache(maxsize=4)
def read_session(folder: Path, atlas: str | None = None) -> RecordedSession:
    """Read one grid of a recorded session.

    Parameters
    ----------
    folder
        With ``images.csv`` and ``holes.csv``.
    atlas
        Label of the atlas; None takes the one with most exposures.

    Raises
    ------
    BadRecording
        When a table cannot be read, or the atlas is not in it or has no exposures.
    """
    images = read_images(folder)
    exposed = Counter(line.atlas for line in images if line.level == "en")
    if not exposed:
        raise BadRecording(f"{folder / IMAGES} holds no exposures (level en); there is nothing to replay")
    atlas = atlas or exposed.most_common(1)[0][0]
    if atlas not in exposed:
        raise BadRecording(f"{folder / IMAGES} has no exposures on an atlas {atlas!r}; it has on {', '.join(exposed)}")
    parents = _parents(images, folder / IMAGES)
    places = Places(folder, parents, images, read_holes(folder))
    return _Reading([line for line in images if line.atlas == atlas], parents, places).session(atlas)


class _Reading:
    """The tables of one atlas on their way to a session."""

    def __init__(self, images: Sequence[ImageLine], parents: Mapping[str, ImageLine], places: Places) -> None:
        shots = sorted((line for line in images if line.level != "en-a"), key=lambda line: (line.at, line.number))
        self.shots = shots
        self.rank = {line.name: rank for rank, line in enumerate(shots)}
        self.corrected = {line.original: line for line in images if line.level == "en-a"}
        self.exposures = [line for line in shots if line.level == "en"]
        self.order = {line.name: order for order, line in enumerate(self.exposures, 1)}
        self.costs = step_costs(shots)
        self.parents, self.places = parents, places
        self.times_at: Counter[tuple[str, ...]] = Counter()

    def session(self, atlas: str) -> RecordedSession:
        squares = [square for _, square in sorted(self._squares(), key=lambda pair: pair[0])]
        first, last = self.shots[0], self.shots[-1]
        return RecordedSession(
            name=first.name.split(f"_{atlas}_")[0],
            atlas=atlas,
            started_at=first.at,
            total_s=(last.at - first.at).total_seconds(),
            tiles=tuple(self._tile(line) for line in self.shots if line.level == "gr"),
            squares=tuple(replace(square, order=order) for order, square in enumerate(squares, 1)),
            um_per_px=self.places.frames.um_per_px(),
            half_frame_px=half_frames(self.shots),
            retake_s={
                level: median(self.costs[line.name].typical_s for line in self.shots if line.level == level)
                for level in {line.level for line in self.shots}
            },
        )

    def _squares(self) -> Iterable[tuple[int, RecordedSquare]]:
        """Give every stay with its place in the recorded order: its first exposure, or its last image."""
        stays: dict[tuple[str, str], list[_Stay]] = defaultdict(list)
        for key, exposures in groupby(self.exposures, key=SQUARE):
            stays[key].append(_Stay(len(stays[key]), list(exposures)))
        for line in self.shots:
            if line.level in ("sq", "hl", "fa"):
                its = stays[SQUARE(line)]
                if not its:
                    its.append(_Stay(0, []))
                self._owner(line, its).surveys.append(line)
        for its in stays.values():
            for stay in its:
                when = stay.exposures[0] if stay.exposures else stay.surveys[-1]
                view = when
                while view.level != "sq":
                    view = self.parents[view.name]
                yield self.rank[when.name], self._square(stay, view)

    def _owner(self, line: ImageLine, stays: Sequence["_Stay"]) -> "_Stay":
        """Give the first stay that goes on after this image, or the last."""
        later = (stay for stay in stays if stay.exposures and self.rank[stay.exposures[-1].name] > self.rank[line.name])
        return next(later, stays[-1])

    def _square(self, stay: _Stay, view: ImageLine) -> RecordedSquare:
        groups = [_Stay(number, list(lines)) for number, (_, lines) in enumerate(groupby(stay.exposures, key=PATCH), 1)]
        own: list[ImageLine] = []
        for line in stay.surveys:
            its = [group for group in groups if line.level != "sq" and PATCH(group.exposures[0]) == PATCH(line)]
            (self._owner(line, its).surveys if its else own).append(line)
        x_um, y_um = self.places.of_square(view)
        return RecordedSquare(
            order=0,
            name=view.name,
            x_um=float(x_um) + STAY_STEP_UM * stay.visit,
            y_um=float(y_um),
            survey=self._survey(own, "sq"),
            groups=tuple(self._group(group) for group in groups),
        )

    def _group(self, group: _Stay) -> RecordedGroup:
        first = self.rank[group.exposures[0].name]
        before = [line for line in group.surveys if self.rank[line.name] < first]
        costs = {line.name: self.costs[line.name] for line in group.exposures}
        for line in group.surveys:
            if self.rank[line.name] > first:
                later = (shot for shot in group.exposures if self.rank[shot.name] > self.rank[line.name])
                due = next(later, group.exposures[-1]).name
                costs[due] = costs[due].plus(self.costs[line.name])
        image = self.parents[group.exposures[0].name]
        x_um, y_um = self.places.of_hole_image(image)
        patch = (image.tile, image.square, image.patch)
        x_um += STAY_STEP_UM * self.times_at[patch]
        self.times_at[patch] += 1
        return RecordedGroup(
            number=group.visit,
            name=image.name,
            x_um=float(x_um),
            y_um=float(y_um),
            view=self._survey([line for line in before if line.level == "hl"], "hl"),
            focus=self._survey([line for line in before if line.level == "fa"], "fa"),
            exposures=tuple(self._exposure(line, costs[line.name]) for line in group.exposures),
        )

    def _exposure(self, line: ImageLine, cost: Cost) -> RecordedExposure:
        x_um, y_um = self.places.of_exposure(line)
        corrected = self.corrected.get(line.name)
        return RecordedExposure(
            name=line.name,
            order=self.order[line.name],
            x_um=float(x_um),
            y_um=float(y_um),
            at=line.at,
            cost=cost,
            ctf_max_res=corrected.ctf_max_res if corrected else None,
            ctf_confidence=corrected.ctf_confidence if corrected else None,
            predicted_ctf=corrected.predicted_ctf if corrected else None,
        )

    def _tile(self, line: ImageLine) -> RecordedTile:
        x_um, y_um = self.places.of_tile(line)
        return RecordedTile(line.name, float(x_um), float(y_um), self._survey([line], "gr"))

    def _survey(self, lines: Sequence[ImageLine], level: str) -> Survey:
        cost = Cost(0.0, 0.0)
        for line in lines:
            cost = cost.plus(self.costs[line.name])
        return Survey(tuple(line.name for line in lines), sum(line.level == level for line in lines), cost)


def step_costs(shots: Sequence[ImageLine]) -> dict[str, Cost]:
    """Give what every image took: the time since the one before it, and the median over steps of its kind.

    A kind of step is both images' levels and how far apart in the grid they are; kinds seen too rarely take the median
    of the level. The first image took nothing: the recording begins with it.
    """
    took = {shots[0].name: 0.0}
    kinds = {shots[0].name: ("", "", 0)}
    for before, line in pairwise(shots):
        took[line.name] = (line.at - before.at).total_seconds()
        kinds[line.name] = (before.level, line.level, _nearness(before, line))
    by_kind, by_level = defaultdict(list), defaultdict(list)
    for line in shots[1:]:
        by_kind[kinds[line.name]].append(took[line.name])
        by_level[line.level].append(took[line.name])
    return {
        line.name: Cost(
            took[line.name],
            median(many if len(many := by_kind[kinds[line.name]]) >= ENOUGH_STEPS else by_level[line.level] or [0.0]),
        )
        for line in shots
    }


def _nearness(before: ImageLine, line: ImageLine) -> int:
    """Count what the two have in common: tile, square, patch."""
    pairs = ((before.tile, line.tile), (before.square, line.square), (before.patch, line.patch))
    shared = 0
    for one, other in pairs:
        if one != other:
            break
        shared += 1
    return shared


def _parents(images: Iterable[ImageLine], path: Path) -> Mapping[str, ImageLine]:
    """Give the image that each raw image was picked on, by the latter's name."""
    by_name = {line.name: line for line in images}
    parents = {}
    for line in by_name.values():
        if (wanted := PARENT_LEVEL.get(line.level)) is None:
            continue
        parent = by_name.get(line.parent)
        if parent is None or parent.level != wanted or parent.atlas != line.atlas:
            raise BadRecording(
                f"{path}, line {line.number}: {line.name} (level {line.level}) should have been picked on an image of "
                f"level {wanted} of the same atlas, and {line.parent or 'nothing'} is none"
            )
        parents[line.name] = parent
    return parents
