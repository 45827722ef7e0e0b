"""Times from image to image of a recorded session against those of the simulated microscope with its times.

The recorded session (aldolase, ``../shared/data/aldolase``) took an atlas, surveyed squares and then collected in the
order written there; the same calls go to the driver here, at the same places, on a small camera: its pictures are of no
interest, its clock is. Where the recorded time holds a person's picking of targets, the automatic part is compared if
the record tells it apart; where it does not, the procedure has been given all of it, and the table says so.

``python benchmarks/session_times.py [--squares 27] [--patches 80] [--shots 6] [--json FILE]``
"""

import argparse
import contextlib
import csv
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.errors import FocusFailed
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.preset import Level

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "aldolase"

UM_PER_ATLAS_PX = 0.346
"""As inferred from the mesh's pitch."""

LEVELS: Mapping[str, Level] = {"gr": "atlas", "sq": "square", "hl": "hole", "fa": "focus", "en": "exposure"}

HOLE_PITCH_UM, DRIFT_A_PER_S = 2.5, 30.0
"""Distance of the exposures of a patch, and the drift that the session bore."""

ROWS = {
    "atlas tile -> next atlas tile": "tile",
    "square image -> same square re-imaged (_v01/_v02)": "height",
    "square image -> first hole-level (medium mag) image": "first hole view",
    "hole-level image -> next hole-level image, automatic part only (<=55 s)": "hole view",
    "last exposure -> focus image of next patch, same square": "focus, same square",
    "last exposure -> focus image of next patch, other square same tile": "focus, other square",
    "last exposure -> focus image of next patch, other tile": "focus, other tile",
    "focus image -> hole-level image re-taken (_v01) in production": "hole view again",
    "hole-level _v01 image -> first exposure of the patch": "first exposure",
    "exposure -> next exposure in the same patch (image shift)": "exposure",
    "CYCLE exposure -> exposure in next patch, same square": "cycle, same square",
    "CYCLE exposure -> exposure in other square, same tile": "cycle, other square",
    "CYCLE exposure -> exposure in other tile": "cycle, other tile",
    "periodic stop inside a stage move (buffer/cold-trap refill, inferred)": "refill stop",
}
"""Rows of the recorded times by what they are called here; the way to the next square is pooled (`recorded`)."""

NOTES = {
    "height": "a person's picking is in it and cannot be told apart: the procedure has been given all of it",
    "hole view": "automatic part; with a person's picking 85 s were recorded, which is not counted",
    "next square": "other and same tile together, 24 and 6 of them",
    "focus, other square": "5 recorded",
    "cycle, other square": "5 recorded",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of step: medians in seconds and how many there were."""

    step: str
    recorded_s: float
    recorded_n: int
    simulated_s: float
    simulated_n: int
    note: str = ""

    @property
    def ratio(self) -> float:
        """Simulated over recorded."""
        return self.simulated_s / self.recorded_s


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of holes: its tile, its square and its places on the stage, µm."""

    tile: str
    square: str
    square_xy: tuple[float, float]
    xy: tuple[float, float]


def recorded(data: Path = DATA) -> dict[str, tuple[float, int]]:
    """Read the recorded medians in seconds and their numbers, by the names used here."""
    with (data / "time_costs.csv").open(encoding="utf-8") as file:
        rows = {row["step"]: row for row in csv.DictReader(file)}
    found = {name: (float(rows[step]["median_s"]), int(rows[step]["n"])) for step, name in ROWS.items()}
    found["next square"] = _to_next_square(data)
    return found


def patches(data: Path = DATA) -> list[Patch]:
    """Read the patches that were exposed, in the order of the session."""
    with (data / "holes.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["raw_timestamp"])
    places: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    squares: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        if not row["square_atlas_x_um"] or not row["sq_x_um"]:
            continue
        key = row["tile"], row["square"], row["patch"]
        squares[key[:2]] = float(row["square_atlas_x_um"]), float(row["square_atlas_y_um"])
        places.setdefault(key, []).append((float(row["sq_x_um"]), float(row["sq_y_um"])))
    # The recorded frame has its own origin; the stage's reach is the same to all sides.
    middle = [
        (min(xy[axis] for xy in squares.values()) + max(xy[axis] for xy in squares.values())) / 2 for axis in (0, 1)
    ]
    found = []
    for (tile, square, _), near in places.items():
        x, y = (at - origin for at, origin in zip(squares[tile, square], middle, strict=True))
        off_x, off_y = (median(place[axis] for place in near) for axis in (0, 1))
        found.append(Patch(tile, square, (x, y), (x + off_x, y + off_y)))
    return found


class Session:
    """Drives one simulated microscope and notes the time of every image."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.clock = VirtualClock(datetime(2021, 3, 2, 12, tzinfo=UTC))
        film = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
        calm = {"grids": {"1": {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0}}}
        self.scope: SimulatedMicroscope = connect(
            Installation(
                options={"profile": "aldolase-times", "world": calm, "camera_scale": 0.03125},
                images=folder / "images",
                memory=folder / "microscope",
                clock=self.clock,
                seed=seed,
                cassette=Cassette.model_validate({"slots": [{"slot": 1, "name": "aldolase", **film}]}),
            )
        )
        self.presets = self.scope.presets()
        self.taken = 0
        self.spans: dict[str, list[float]] = {}
        self.last = self.clock.now()
        self.height: dict[tuple[str, str], float] = {}
        self.scope.load(1)
        self.scope.open_valve()

    def take(self, level: Level, span: str | None) -> None:
        """Take an image with the optics that are set, and note the time since the one before."""
        self.taken += 1
        self.scope.acquire(Shot(self.presets[level]), f"image-{self.taken}")
        now = self.clock.now()
        if span is not None:
            self.spans.setdefault(span, []).append((now - self.last).total_seconds())
        self.last = now

    def still(self) -> None:
        """Keep fills out of the steps: they are compared on their own, as the recorded ones are."""
        due = self.scope.status().refill_due_s
        if due is not None and due < 3600:
            began = self.clock.now()
            self.scope.refill()
            self.spans.setdefault("refill stop", []).append((self.clock.now() - began).total_seconds())
            self.last = self.clock.now()

    def atlas(self, places: Sequence[tuple[float, float]]) -> None:
        """Take the tiles."""
        self.scope.use(self.presets["atlas"])
        for number, (x, y) in enumerate(places):
            self.scope.go_to(StagePosition(x, y))
            self.take("atlas", "tile" if number else None)

    def survey(self, squares: Mapping[tuple[str, str], Sequence[Patch]]) -> None:
        """Image each square, bring it to height, image it again, look at its first patches."""
        z_um, known = 0.0, False
        for key, own in squares.items():
            self.still()
            x, y = own[0].square_xy
            self.scope.use(self.presets["square"])
            self.scope.go_to(StagePosition(x, y, z_um))
            self.take("square", "next square" if known else None)
            try:
                z_um = self.scope.eucentric_height("tilt")
                self.scope.use(self.presets["square"])
                self.take("square", "height")
            except FocusFailed:
                self.take("square", None)
            self.height[key] = z_um
            self.scope.use(self.presets["hole"])
            for number, patch in enumerate(own[:3]):
                self.scope.go_to(StagePosition(*patch.xy, z_um))
                self.take("hole", "hole view" if number else "first hole view")
            known = True

    def collect(self, order: Sequence[Patch], shots: int) -> None:
        """Focus, centre and expose one patch after the other, so many exposures of each."""
        before, ended = None, None
        for patch in order:
            self.still()
            way = _way(before, patch)
            began = self.last
            self.scope.use(self.presets["focus"])
            self.scope.go_to(StagePosition(*patch.xy, self.height.get((patch.tile, patch.square), 0.0)))
            self.scope.shift_image(ImageShift(HOLE_PITCH_UM / 2, HOLE_PITCH_UM / 2))
            # The simulated mesh is not the recorded one, so many places are bars; the time is spent all the same.
            with contextlib.suppress(FocusFailed):
                self.scope.autofocus(-1.5)
            self.take("focus", way and f"focus, {way}")
            self.scope.use(self.presets["hole"])
            self.take("hole", "hole view again")
            spent_s = None if ended is None else (self.last - began).total_seconds()
            self._expose(shots, way and f"cycle, {way}", spent_s)
            before, ended = patch, self.last

    def _expose(self, shots: int, cycle: str | None, spent_s: float | None) -> None:
        self.scope.use(self.presets["exposure"])
        for number in range(shots):
            self.scope.shift_image(ImageShift(HOLE_PITCH_UM * (number % 3 - 1), HOLE_PITCH_UM * (number // 3)))
            if number == 0:
                self.scope.settle(DRIFT_A_PER_S, 60.0)
            self.take("exposure", "exposure" if number else "first exposure")
            if number == 0 and cycle is not None and spent_s is not None:
                self.spans.setdefault(cycle, []).append(spent_s + self.spans["first exposure"][-1])


def simulate(folder: Path, squares: int, count: int, shots: int, seed: int = 1) -> dict[str, list[float]]:
    """Go through the session in its order, so many squares, patches and exposures of each; answers seconds."""
    order = patches()
    by_square: dict[tuple[str, str], list[Patch]] = {}
    for patch in order:
        by_square.setdefault((patch.tile, patch.square), []).append(patch)
    session = Session(folder, seed)
    session.atlas(list(_tiles())[: squares + 10])
    session.survey(dict(list(by_square.items())[:squares]))
    session.collect(_thinned(order, count), shots)
    return session.spans


def compare(simulated: Mapping[str, Sequence[float]], known: Mapping[str, tuple[float, int]]) -> list[Row]:
    """Put both side by side."""
    return [
        Row(step, *known[step], median(simulated[step]), len(simulated[step]), NOTES.get(step, ""))
        for step in known
        if simulated.get(step)
    ]


def table(rows: Sequence[Row]) -> str:
    """Write the comparison as a table."""
    lines = [
        "| from image to image | recorded, s | n | simulated, s | n | ratio | remark |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.step} | {row.recorded_s:.1f} | {row.recorded_n} | {row.simulated_s:.1f} | {row.simulated_n} | "
        f"{row.ratio:.3f} | {row.note} |"
        for row in rows
    ]
    return "\n".join(lines)


def _way(before: Patch | None, patch: Patch) -> str | None:
    if before is None:
        return None
    if (before.tile, before.square) == (patch.tile, patch.square):
        return "same square"
    return "other square" if before.tile == patch.tile else "other tile"


def _thinned(order: Sequence[Patch], count: int) -> list[Patch]:
    """Keep every change of square with a patch on either side, and of the rest as many as asked for."""
    change = {n + step for n, (a, b) in enumerate(pairwise(order)) if _way(a, b) != "same square" for step in (0, 1)}
    rest = [n for n in range(len(order)) if n not in change]
    keep = change | set(rest[: max(count - len(change), 0)])
    return [order[n] for n in sorted(keep)]


def _tiles() -> Iterator[tuple[float, float]]:
    with (DATA / "images.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == "gr" and row["atlas"] == "grid1c"]
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        x, y = float(row["x"]) * UM_PER_ATLAS_PX, float(row["y"]) * UM_PER_ATLAS_PX
        if math.hypot(x, y) < 980:
            yield x, y


def _to_next_square(data: Path) -> tuple[float, int]:
    """Pool both kinds of the way to the next square: the record has too few of one to tell them apart."""
    with (data / "images.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["atlas"] == "grid1c" and row["level"] in ("sq", "hl")]
    rows.sort(key=lambda row: row["timestamp"])
    seconds = []
    for first, second in pairwise(rows):
        gone = datetime.fromisoformat(second["timestamp"]) - datetime.fromisoformat(first["timestamp"])
        moved = (first["tile"], first["square"]) != (second["tile"], second["square"])
        if first["level"] == "hl" and second["level"] == "sq" and moved and gone.total_seconds() < 200:
            seconds.append(gone.total_seconds())
    return median(seconds), len(seconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--squares", type=int, default=27)
    parser.add_argument("--patches", type=int, default=80)
    parser.add_argument("--shots", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(simulate(Path(folder), given.squares, given.patches, given.shots, given.seed), recorded())
    print(table(rows))
    if given.json is not None:
        given.json.write_text(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1))


if __name__ == "__main__":
    main()
