"""A set of labelled training images on disk: whole files one by one, the index at the end, the same for the same seed.

A scene is one grid before one instrument. It gives a tree of images, each showing a part of the one above: a tile of
the atlas, two of its squares, two holes of each, an exposure in each. Levels that nobody asked for are left out of the
tree. An image is there once its labels are, for they are written after it; so a set that was cut off goes on where it
stood. Nothing that decides or detects may import this.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .... import __version__
from ....files.atomic import sweep, write_bytes
from ....files.mrc import is_whole, write_mrc
from ....protocols.errors import BadInput
from ....protocols.preset import Preset
from ..grid.film import RIM_UM
from ..grid.world import GridWorld
from ..instrument.instrument import Instrument
from . import coco
from .labels import drawn, holes_seen, squares_seen
from .studio import BEGINNING, aim, beyond_um, photograph, stand_up, world_of
from .truth import TrueSquare, square_of
from .variety import Choices, Scene, checked, drawn_scene, named

ImageLevel = Literal["atlas", "square", "hole", "exposure"]
LEVELS: tuple[ImageLevel, ...] = get_args(ImageLevel)

SQUARES, HOLES = 2, 2
"""Squares of each tile, and holes of each square."""

BESIDE = 0.15
"""Share of the hole views that are aimed anywhere in the square, bars and all."""

AIMED_WITHIN_UM = 20.0
"""Tiles are aimed at least so far within the reach of the stage, whose axes are not quite the grid's."""

SETTINGS, INDEX = "dataset.json", "coco.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A set of images: equal ones are equal to the byte.

    ``seed`` draws everything; ``levels`` are those whose images are kept; ``one_each`` keeps only the first image of
    each level of a scene, so that as many images show more grids.
    """

    seed: int
    levels: tuple[ImageLevel, ...]
    choices: Choices
    one_each: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One image of the set: its scene, its place in the scene's tree, and the image above it that is kept."""

    scene: int
    path: tuple[int, ...]
    parent: str | None

    @property
    def level(self) -> ImageLevel:
        """How deep in the tree it is."""
        return LEVELS[len(self.path)]

    @property
    def name(self) -> str:
        """Name of its file, without folder and ending."""
        return "-".join([f"s{self.scene:06d}", self.level, *(str(step + 1) for step in self.path)])


def wanted(seed: int, levels: Sequence[str], choices: Choices, *, one_each: bool = False) -> Wanted:
    """Check what a person asked for; raises `BadInput`."""
    chosen = [named(level, LEVELS, "level") for level in levels]
    if not chosen:
        raise BadInput(f"say which levels the images are of: {', '.join(LEVELS)}")
    return Wanted(seed, tuple(level for level in LEVELS if level in chosen), checked(choices), one_each)


def make(folder: Path, of: Wanted, count: int) -> Iterator[int]:
    """Write a set of so many images, or go on with it; yields how many are there after each.

    Parameters
    ----------
    folder
        New, empty, or holding the beginning of the same set; it may be made longer, never shorter.

    Raises
    ------
    BadInput
        A count that is none, or a folder that holds something else.
    NoRoom, NotWritable
        See `files.atomic`.
    """
    if count <= 0:
        raise BadInput(f"a set of {count} images is none; ask for one at least")
    _settle(folder, of, count)
    items = list(islice(items_of(of), count))
    stage: tuple[int, _Stage] | None = None
    for done, item in enumerate(items, 1):
        if not _is_there(folder, item):
            if stage is None or stage[0] != item.scene:
                stage = (item.scene, _Stage(of, item.scene))
            stage[1].write(folder, item)
        yield done
    entries = [json.loads(_label_path(folder, item).read_bytes()) for item in items]
    info = {"description": "simulated images, everything in them known", "version": __version__, **_identity(of)}
    write_bytes(folder / INDEX, _json(coco.document(entries, info)))


def items_of(of: Wanted) -> Iterator[Item]:
    """Name the images of the endless set, scene by scene, each after the one above it."""
    deepest = max(LEVELS.index(level) for level in of.levels)
    scene = 0
    while True:
        yield from _below(of, scene, (), deepest, None)
        scene += 1


def _below(of: Wanted, scene: int, path: tuple[int, ...], deepest: int, parent: str | None) -> Iterator[Item]:
    item = Item(scene, path, parent)
    if item.level in of.levels:
        yield item
        parent = item.name
    if len(path) < deepest:
        for step in range(1 if of.one_each else (SQUARES, HOLES, 1)[len(path)]):
            yield from _below(of, scene, (*path, step), deepest, parent)


class _Stage:
    """One scene, standing."""

    def __init__(self, of: Wanted, scene: int) -> None:
        self._of = of
        self._number = scene
        self._scene: Scene = drawn_scene(of.choices, self._rng("scene"))
        self._instrument: Instrument = stand_up(self._scene.profile, self._scene.spec, self._scene.seed)

    def write(self, folder: Path, item: Item) -> None:
        """Take one image and write it, then its labels."""
        instrument, preset = self._instrument, self._aim(item)
        rows, cols = preset.rows_px, preset.cols_px
        squares = squares_seen(instrument, preset, BEGINNING)
        holes = holes_seen(instrument, preset, BEGINNING)
        about = self._about(item, preset)
        pixels = photograph(instrument, preset)
        file = f"images/{item.name}.mrc"
        image = {"file_name": file, "width": cols, "height": rows, **about}
        write_mrc(folder / file, pixels, preset.pixel_size_a, metadata=about)
        entry = {"image": image, "annotations": coco.annotations(squares, holes, rows, cols)}
        write_bytes(_label_path(folder, item), _json(entry))

    def _aim(self, item: Item) -> Preset:
        """Turn the instrument to where this image is taken."""
        preset = self._scene.profile.levels[item.level].preset
        act = 1 + sum((step + 1) * 10**place for place, step in enumerate(item.path))
        aim(self._instrument, preset, self._place(item.path), tilt_deg=self._scene.tilt_deg, act=act)
        return preset

    def _about(self, item: Item, preset: Preset) -> dict[str, Any]:
        instrument, spec = self._instrument, self._world.spec
        pixel_a, rotation = instrument.true_level(preset)
        return {
            "level": item.level,
            "scene": item.scene,
            "parent_file": None if item.parent is None else f"images/{item.parent}.mrc",
            "in_parent": self._in_parent(item, preset),
            "pixel_size_a": preset.pixel_size_a,
            "true_pixel_size_a": round(pixel_a, 6),
            "rotation_deg": round(rotation, 4),
            "tilt_deg": round(instrument.state.alpha_deg, 4),
            "defocus_um": round(instrument.true_defocus_um(instrument.looked_at(BEGINNING, preset), BEGINNING), 4),
            "dose_e_per_a2": preset.dose_e_per_a2,
            "mesh": spec.mesh,
            "hole_type": spec.hole_type,
            "material": "Gold" if self._world.film.gold else spec.material,
            "kind": spec.kind,
            "world_seed": self._scene.seed,
        }

    def _in_parent(self, item: Item, preset: Preset) -> list[list[float]] | None:
        """Give the corners of this image's field in the pixels of the image above it, (x, y) as COCO has them."""
        if item.parent is None:
            return None
        corners = self._instrument.view(preset, BEGINNING).corners
        depth = LEVELS.index(next(level for level in LEVELS if f"-{level}" in item.parent))
        above = self._aim(Item(item.scene, item.path[:depth], None))
        seen = drawn(self._instrument.view(above, BEGINNING), corners)
        self._aim(item)
        return coco.corner_xy(seen[[0, 1, 3, 2]])

    def _place(self, path: tuple[int, ...]) -> tuple[float, float]:
        """Choose where an image is taken, in the grid's frame; it depends on the path alone."""
        if not path:
            x, y = self._scene.centre_um
            far = float(beyond_um(self._instrument, np.array([x, y]))) + AIMED_WITHIN_UM
            nearer = 1.0 - max(0.0, far) / math.hypot(x, y) * math.sqrt(2) if far > 0 else 1.0
            return x * nearer, y * nearer
        square = self._square(path[0])
        if len(path) == 1:
            shifted = self._rng("square place", path[0]).normal(0, 0.05 * self._world.bars.mesh.pitch_um, 2)
            return square.x_um + float(shifted[0]), square.y_um + float(shifted[1])
        place = self._hole_place(square, path[:2])
        if len(path) == 2:
            return place
        beside = self._rng("exposure place", *path).normal(0, 0.15, 2)
        return place[0] + float(beside[0]), place[1] + float(beside[1])

    def _hole_place(self, square: TrueSquare, path: tuple[int, ...]) -> tuple[float, float]:
        rng = self._rng("hole place", *path)
        anywhere = rng.uniform(-0.5, 0.5, 2) * self._world.bars.mesh.pitch_um
        if square.holes and rng.random() >= BESIDE:
            hole = square.holes[int(rng.integers(len(square.holes)))]
            return hole.x_um, hole.y_um
        return square.x_um + float(anywhere[0]), square.y_um + float(anywhere[1])

    def _square(self, number: int) -> TrueSquare:
        """Choose a square of the tile: each class that is there as likely as the others, so that rare ones are seen."""
        world, rng = self._world, self._rng("square", number)
        preset = self._scene.profile.levels["atlas"].preset
        half = min(preset.rows_px, preset.cols_px) * preset.pixel_size_a * 1e-4 / 2
        table, (x, y) = world.squares, self._scene.centre_um
        away = np.maximum(np.abs(table.x_um - x), np.abs(table.y_um - y))
        there = np.hypot(table.x_um, table.y_um) < RIM_UM
        # Holes are photographed too, up to half a pitch off the square's middle.
        there &= beyond_um(self._instrument, np.stack([table.x_um, table.y_um], axis=-1)) < -world.bars.mesh.pitch_um
        near = there & (away < max(half / math.sqrt(2), away[there].min() + 1.0, world.bars.mesh.pitch_um))
        kinds = np.unique(table.kind[near])
        kind = kinds[int(rng.integers(kinds.size))]
        found = np.flatnonzero(near & (table.kind == kind))
        chosen = found[int(rng.integers(found.size))]
        return square_of(world, int(table.i.flat[chosen]), int(table.j.flat[chosen]))

    @property
    def _world(self) -> GridWorld:
        return world_of(self._instrument)

    def _rng(self, what: str, *path: int) -> np.random.Generator:
        purpose = ("scene", "square", "square place", "hole place", "exposure place").index(what)
        entropy = [self._of.seed, self._number, purpose, *(step + 1 for step in path)]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _settle(folder: Path, of: Wanted, count: int) -> None:
    """Make the folder this set's own, or refuse it."""
    path, mine = folder / SETTINGS, {"version": __version__, **_identity(of)}
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder for the images")
    if path.exists():
        kept = _settings(path)
        other = [name for name in {**kept, **mine} if name != "count" and kept.get(name) != mine.get(name)]
        if other:
            raise BadInput(
                f"{folder} holds a set of images of another {' and '.join(other)}; go on with the same, or name "
                "another folder"
            )
        if kept.get("count", 0) > count:
            raise BadInput(f"{folder} holds a set of {kept['count']} images, more than {count}; name another folder")
    elif folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{folder} is not empty and holds no set of images; name a new or empty folder")
    for part in (folder / "images", folder / "labels"):
        part.mkdir(parents=True, exist_ok=True)
        sweep(part)
    write_bytes(path, _json({**mine, "count": count}))


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        kept = json.loads(path.read_bytes())
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise BadInput(f"{path} is not what a set of images keeps there; name another folder")
    return kept


def _identity(of: Wanted) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(of)))
    if not of.one_each:
        del plain["one_each"]  # sets of before do not say it
    return plain


def _is_there(folder: Path, item: Item) -> bool:
    return _label_path(folder, item).exists() and is_whole(folder / "images" / f"{item.name}.mrc")


def _label_path(folder: Path, item: Item) -> Path:
    return folder / "labels" / f"{item.name}.json"


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"
