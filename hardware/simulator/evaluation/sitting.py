"""One picture as a person asks for it: which level of which grid, seen how; and the picture with what is known of it.

It holds the truth; nothing that decides or detects may import this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ....protocols.errors import BadInput
from ....protocols.grid_types import HOLE_TYPES, MATERIALS, MESHES
from ....protocols.preset import Preset
from ..grid.cassette_world import KINDS, GridSpec
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from ..instrument.fault_kinds import Kind
from ..instrument.faults import Fault, When
from ..instrument.instrument import Instrument
from ..instrument.lasting import begin
from ..instrument.profile import Profile, check_camera, first_complaint, load_profile
from ..pictures.view import Stain
from . import coco
from .labels import HoleLabel, SquareLabel, holes_seen, squares_seen
from .plates import Plate
from .studio import BEGINNING, aim, hole_of, photograph, square_like, stand_up, world_of
from .truth import TrueSquare
from .variety import named

SeenLevel = Literal["atlas", "square", "hole", "exposure"]
LEVELS: tuple[SeenLevel, ...] = get_args(SeenLevel)
On = Literal["hole", "film", "edge", "tear", "wrinkle", "dirt", "drop", "fern"]
ONS: tuple[On, ...] = get_args(On)
SEEN_FAULTS: tuple[Kind, ...] = (
    "fill-during-shot", "pump-cycle", "vibration", "valve-closes", "vacuum-lost", "beam-off", "beam-moved",
    "flash-needed", "zero-loss-lost", "dark-images",
)  # fmt: skip
"""Faults of which a picture shows something."""


OPEN_UM = 3.0
"""The edge of a tear is looked at where it lies so far from the bars."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """What is asked for.

    Attributes
    ----------
    level
        One of `LEVELS`.
    numbers
        Numbers of the profile that differ from the shipped ones, by dotted name.
    grid
        Fields of `GridSpec`; what is not given is as the kind has it.
    optics
        Fields of `Preset` that differ from the profile's.
    square_kind
        Class of the square in the middle; None takes an intact one, or whatever lies there.
    place_um
        Where to look, in the grid's frame; None takes the middle of the grid, of a square, or of a hole.
    on
        At hole and exposure level: one of `ONS`: a hole, the film between holes, a hole's edge, or the first defect of
        that name on the square.
    drift_a_per_s
        How fast the specimen drifts as the picture begins, as after a move.
    faults
        Faults that have just struck, of `SEEN_FAULTS`.
    exposed
        Whether the place in the middle has been exposed before, which leaves a mark.
    """

    level: str
    profile: str = "demo-2k"
    seed: int = 1
    numbers: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    optics: Mapping[str, Any] = field(default_factory=dict)
    square_kind: str | None = None
    place_um: tuple[float, float] | None = None
    on: str = "hole"
    tilt_deg: float = 0.0
    drift_a_per_s: float = 0.0
    faults: tuple[str, ...] = ()
    exposed: bool = False
    save_frames: bool = False


@dataclass(frozen=True)
class Portrait:
    """The picture: counts (rows, cols) or (frames, rows, cols), its optics, and what it shows."""

    pixels: NDArray[Any]
    preset: Preset
    about: dict[str, Any]
    squares: list[SquareLabel]
    holes: list[HoleLabel]
    title: str

    def plate(
        self, *, title: str | None = None, labelled: bool = False, pixels: NDArray[np.generic] | None = None
    ) -> Plate:
        """Give it as people look at it; ``pixels`` takes the place of the sum of the frames."""
        shown = pixels if pixels is not None else self.pixels.sum(axis=0) if self.pixels.ndim == 3 else self.pixels
        exposure = self.preset.level == "exposure"
        return Plate(
            self.title if title is None else title,
            shown,
            self.preset.pixel_size_a,
            rings=exposure,
            squares=self.squares if labelled and self.preset.level != "hole" else (),
            holes=self.holes if labelled and self.preset.level in ("square", "hole") else (),
        )

    def entry(self, file_name: str) -> dict[str, Any]:
        """Give its labels as `coco.document` takes them."""
        rows, cols = self.preset.rows_px, self.preset.cols_px
        image = {"file_name": file_name, "width": cols, "height": rows, "parent_file": None, **self.about}
        return {"image": image, "annotations": coco.annotations(self.squares, self.holes, rows, cols)}


def sit(asked: Sitting) -> Portrait:
    """Take the picture.

    Raises
    ------
    BadInput
        A name that is on no list, a number out of its range, or a place that the stage does not reach.
    """
    level = named(asked.level, LEVELS, "level")
    profile = _profile(asked.profile, asked.numbers)
    instrument = stand_up(profile, grid_spec(asked.grid), asked.seed)
    preset = _preset(profile, level, asked.optics)
    square, place = _place(world_of(instrument), level, asked)
    aim(instrument, preset, place, tilt_deg=asked.tilt_deg)
    _disturb(instrument, asked)
    mark = Stain(*place, profile.levels["exposure"].preset.beam_diameter_um / 2)
    pixels = photograph(instrument, preset, save_frames=asked.save_frames, marks=[mark] if asked.exposed else [])
    squares, holes = squares_seen(instrument, preset, BEGINNING), holes_seen(instrument, preset, BEGINNING)
    about = _about(instrument, preset, asked, place, square)
    return Portrait(pixels, preset, about, squares, holes, _title(about))


def _disturb(instrument: Instrument, asked: Sitting) -> None:
    """Let the stage drift and faults strike."""
    if not asked.drift_a_per_s >= 0:
        raise BadInput(f"a drift of {asked.drift_a_per_s:g} Å/s cannot be; give 0 or more")
    if asked.drift_a_per_s > 0:
        state = instrument.state
        state.moved_at, state.drift_a_per_s = BEGINNING, asked.drift_a_per_s
        state.drift_tau_s = sum(instrument.profile.stage.drift_tau_s) / 2
        state.drift_turn_rad = float(instrument.rng("drift").uniform(0, 2 * np.pi))
    for name in asked.faults:
        kind = named(name, SEEN_FAULTS, "fault that pictures show")
        begin(instrument, Fault(kind=kind, at=When(after_h=0.0)), 1)


def grid_spec(given: Mapping[str, Any]) -> GridSpec:
    """Check what a person says of a grid; raises `BadInput`."""
    fields = dict(given)
    for name, known, what in (
        ("hole_type", tuple(HOLE_TYPES), "grid type"),
        ("mesh", tuple(MESHES), "mesh"),
        ("material", MATERIALS, "material"),
        ("kind", tuple(KINDS), "kind of grid"),
    ):
        if fields.get(name):
            fields[name] = named(str(fields[name]), known, what)
    try:
        return GridSpec.model_validate(fields)
    except ValidationError as error:
        raise BadInput(f"the grid: {first_complaint(error)}") from error


def _profile(name: str, changes: Mapping[str, Any]) -> Profile:
    """Read a profile and change some of its numbers."""
    profile = load_profile(name)
    if not changes:
        return profile
    data: dict[str, Any] = profile.model_dump()
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        part: Any = data
        for step in path:
            part = part.get(step) if isinstance(part, dict) else None
        if not isinstance(part, dict) or last not in part:
            raise BadInput(f"the profile has no number called {dotted}; see its file for those it has")
        part[last] = value
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        raise BadInput(f"profile {name}: {first_complaint(error)}") from error


def _preset(profile: Profile, level: SeenLevel, changes: Mapping[str, Any]) -> Preset:
    try:
        preset = Preset.model_validate({**profile.levels[level].preset.model_dump(), **changes})
    except ValidationError as error:
        raise BadInput(f"the optics of the {level} level: {first_complaint(error)}") from error
    check_camera(preset, profile.camera)
    return preset


def _place(world: GridWorld, level: SeenLevel, asked: Sitting) -> tuple[TrueSquare | None, tuple[float, float]]:
    """Choose the square that is shown, where there is one, and the middle of the picture."""
    on = named(asked.on, ONS, "place")
    if asked.place_um is not None:
        return None, asked.place_um
    if level == "atlas" and asked.square_kind is None:
        return None, (0.0, 0.0)
    square = _square(world, asked.square_kind)
    if level in ("atlas", "square") or (on in ("hole", "film", "edge") and not square.holes):
        return square, (square.x_um, square.y_um)
    if on not in ("hole", "film", "edge"):
        return square, _defect(world, square, on)
    hole = hole_of(square)
    assert hole is not None
    first, second = world.film.basis_um.T
    away = {"hole": np.zeros(2), "film": (first + second) / 2, "edge": first / np.linalg.norm(first) * hole.radius_um}
    return square, (hole.x_um + float(away[on][0]), hole.y_um + float(away[on][1]))


def _defect(world: GridWorld, square: TrueSquare, on: On) -> tuple[float, float]:
    """Give the place of the greatest defect of this name on a square."""
    defects = world.defects(square.i, square.j)
    grains = np.argsort(-defects.dirt.radius_um, kind="stable")
    drops = np.argsort(-defects.drops_um[:, 2], kind="stable")
    found: dict[On, Sequence[NDArray[np.float64]]] = {
        "tear": [place for tear in defects.tears for place in tear.outline_um if _in_the_open(world, place)],
        "wrinkle": [np.asarray(ridge.line_um).mean(axis=0) for ridge in defects.ridges],
        "dirt": list(defects.dirt.middle_um[grains]),
        "drop": list(defects.drops_um[drops, :2]),
        "fern": [fern.middle_um.mean(axis=0) for fern in defects.ferns],
    }
    if not len(found[on]):
        raise BadInput(f"the {square.kind} square in the middle has no {on}; give another seed, class or kind of grid")
    x, y = found[on][0]
    return float(x), float(y)


def _in_the_open(world: GridWorld, place: NDArray[np.float64]) -> bool:
    x, y = place[:1], place[1:]
    return float(world.bar_distance_um(x, y, world.squares_at(x, y))[0]) < -OPEN_UM


def _square(world: GridWorld, kind: str | None) -> TrueSquare:
    if kind is not None:
        return square_like(world, named(kind, [member.name.lower() for member in SquareKind], "class of squares"))
    try:
        return square_like(world, "intact")
    except BadInput:
        present = world.squares.kind.flat[int(np.argmin(np.hypot(world.squares.x_um, world.squares.y_um)))]
        return square_like(world, SquareKind(int(present)).name.lower())


def _about(
    instrument: Instrument,
    preset: Preset,
    asked: Sitting,
    place: tuple[float, float],
    square: TrueSquare | None,
) -> dict[str, Any]:
    world = world_of(instrument)
    spec = world.spec
    pixel_a, rotation = instrument.true_level(preset)
    looked = instrument.looked_at(BEGINNING, preset)
    return {
        "level": preset.level,
        "profile": asked.profile,
        "world_seed": asked.seed,
        "pixel_size_a": preset.pixel_size_a,
        "true_pixel_size_a": round(pixel_a, 6),
        "rotation_deg": round(rotation, 4),
        "tilt_deg": asked.tilt_deg,
        "defocus_um": round(instrument.true_defocus_um(looked, BEGINNING), 4),
        "dose_e_per_a2": preset.dose_e_per_a2,
        "drift_a_per_s": asked.drift_a_per_s,
        "faults": list(asked.faults),
        "exposed": asked.exposed,
        "numbers": dict(asked.numbers),
        "place_um": [round(value, 3) for value in place],
        "square_kind": None if square is None else square.kind,
        "mesh": spec.mesh,
        "hole_type": spec.hole_type,
        "material": "Gold" if world.film.gold else spec.material,
        "kind": spec.kind,
    }


def _title(about: Mapping[str, Any]) -> str:
    square = f", {about['square_kind']} square" if about["square_kind"] else ""
    tilt = f", tilt {about['tilt_deg']:g}°" if about["tilt_deg"] else ""
    tilt += f", drift {about['drift_a_per_s']:g} Å/s" if about["drift_a_per_s"] else ""
    tilt += "".join(f", {fault}" for fault in about["faults"]) + (", exposed before" if about["exposed"] else "")
    tilt += "".join(f", {name.rpartition('.')[2]} {value}" for name, value in about["numbers"].items())
    grid = f"{about['hole_type']} {about['material'].lower()}, {about['mesh']} mesh, {about['kind']} grid"
    return (
        f"{about['level']}: {grid}{square}\ndefocus {about['defocus_um']:.4g} µm, {about['dose_e_per_a2']:.3g} e⁻/Å², "
        f"{about['pixel_size_a']:g} Å per pixel{tilt}"
    )
