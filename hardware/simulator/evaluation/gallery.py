"""Everything the simulator can show, section by section: what hangs on the walls, and what to say of it.

It holds the truth; nothing that decides or detects may import this.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....protocols.grid_types import HOLE_TYPES, MESHES
from ..grid.cassette_world import KINDS
from ..grid.openings import SquareKind
from .plates import png
from .sitting import SEEN_FAULTS, Portrait, Sitting, sit

Align = Callable[[NDArray[Any], float], NDArray[np.float32]]
"""Sums the frames of a movie (frames, rows, cols), with their pixel size in Å, in place."""

GALLERY_SEED = 11
"""All pictures are of worlds of this seed unless told otherwise."""

UNBROKEN: Mapping[str, float] = {"empty": 0, "torn": 0, "cracked": 0, "dry": 0, "thick": 0, "contaminated": 0}
FRAMES = {"frames": 20}
"""Exposures are taken in so many frames, enough for their motion to be taken out again."""

PROFILES = ("demo-2k", "screening-200kv", "collection-300kv")
FILTERED = "collection-300kv"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture and what stands over it; an exposure hangs with its rings."""

    title: str
    asked: Sitting


@dataclass(frozen=True, slots=True)
class Section:
    """One wall: ``slug`` names it in files, ``about`` says what to look for."""

    slug: str
    heading: str
    about: str
    exhibits: tuple[Exhibit, ...]


def thumbnail(exhibit: Exhibit, align: Align, side_px: int) -> bytes:
    """Take an exhibit's picture and give it as a PNG; exposures are aligned first, as people look at them."""
    taken = sit(exhibit.asked)
    return png(taken.plate(title=exhibit.title, pixels=_aligned(taken, align)), side_px)


def sections(seed: int = GALLERY_SEED) -> tuple[Section, ...]:
    """Give all walls."""
    return (
        _meshes(seed), _films(seed), _kinds(seed), _squares(seed), _defects(seed), _survey(seed), _spots(seed),
        _optics(seed), _thickness(seed), _faults(seed), _shaken(seed), _instruments(seed),
    )  # fmt: skip


def _aligned(taken: Portrait, align: Align) -> NDArray[np.float32] | None:
    if taken.pixels.ndim < 3:
        return None
    return align(taken.pixels, taken.preset.pixel_size_a)


def _meshes(seed: int) -> Section:
    shown = [
        Exhibit(f"{mesh} mesh, {'gold' if gold else 'carbon'} film", _of(seed, "atlas", mesh=mesh, material=film))
        for mesh in MESHES
        for gold, film in ((False, "Carbon"), (True, "Gold"))
    ]
    beside = {
        "centre mark": (0.0, 0.0), "figure at the rim": (870.0, 0.0), "the rim": (760.0, 640.0),
    }  # fmt: skip
    shown += [Exhibit(title, Sitting("atlas", seed=seed, place_um=at)) for title, at in beside.items()]
    return Section("meshes", "Meshes", "A tile of the atlas of each mesh; the mark at the centre; the rim.", (*shown,))


def _films(seed: int) -> Section:
    shown = [
        Exhibit(f"{name}\n{level} view", _of(seed, level, hole_type=name, **UNBROKEN))
        for name in HOLE_TYPES
        for level in ("square", "hole")
    ]
    about = "Every support film as sold, at square and at hole level, on 300 mesh."
    return Section("films", "Support films", about, tuple(shown))


def _kinds(seed: int) -> Section:
    shown = [
        Exhibit(f"{kind} grid, {level}", _of(seed, level, kind=kind)) for kind in KINDS for level in ("atlas", "square")
    ]
    return Section("kinds", "How grids turn out", "Each kind of grid: a tile of its atlas, and one square.", (*shown,))


def _squares(seed: int) -> Section:
    shown = []
    for member in SquareKind:
        name = member.name.lower()
        spec = {} if name == "intact" else {name: 0.9}
        looked = {"torn": "tear", "cracked": "tear", "contaminated": "dirt"}.get(name, "hole")
        shown += [
            Exhibit(f"{name}, {level}", Sitting(level, seed=seed, grid={**UNBROKEN, **spec}, square_kind=name, on=on))
            for level, on in (("square", "hole"), ("hole", looked))
        ]
    return Section("squares", "Classes of squares", "One square of each class, and a part of it.", tuple(shown))


def _defects(seed: int) -> Section:
    shown = [
        Exhibit(f"{title}\n{level} view", Sitting(level, seed=seed, grid={**UNBROKEN, **spec}, on=on))
        for title, on, spec in _DEFECTS
        for level in ("square", "hole")
    ]
    return Section("defects", "Defects and dirt", "Each thing that spoils a square, many times over.", tuple(shown))


_DEFECTS: tuple[tuple[str, str, Mapping[str, float]], ...] = (
    ("ice crystals", "dirt", {"crystals": 60.0}),
    ("wrinkled film", "wrinkle", {"wrinkled": 1.0}),
    ("drops of ethane", "drop", {"ethane": 12.0}),
    ("dendrites", "fern", {"dendrites": 6.0}),
    ("empty holes", "hole", {"empty_holes": 0.5}),
    ("thick in the middle", "hole", {"thick_centres": 1.0}),
    ("deep meniscus", "hole", {"meniscus_nm": 1500.0}),
    ("uneven ice", "hole", {"ice_spread_inside": 0.6, "ice_spread_holes": 0.35}),
)


def _survey(seed: int) -> Section:
    shown = [
        Exhibit(f"hole view at {um:g} µm defocus", Sitting("hole", seed=seed, optics={"defocus_um": um}))
        for um in (-400.0, -100.0, 0.0, 100.0)
    ]
    shown += [
        Exhibit(f"square view, {factor:g} × usual dose", Sitting("square", seed=seed, optics={"dose_e_per_a2": dose}))
        for factor, dose in ((0.05, 3e-5), (0.25, 1.5e-4), (4.0, 2.4e-3))
    ]
    shown += [
        Exhibit(f"{level} view tilted by {deg:g}°", Sitting(level, seed=seed, tilt_deg=deg))
        for level in ("square", "hole")
        for deg in (30.0, 55.0)
    ]
    shown.append(Exhibit("hole exposed before", Sitting("hole", seed=seed, exposed=True)))
    return Section("survey", "How survey images are taken", "Defocus, dose, tilt, marks of exposures.", tuple(shown))


def _spots(seed: int) -> Section:
    sizes = [
        _exposed(f"particles of {size:g} Å in a hole", seed, grid={"particle_a": size}) for size in (80.0, 150.0, 300.0)
    ]
    spots = [
        _exposed("ice without particles", seed, grid={"particles_per_um2": 0.0}),
        _exposed("edge of a hole", seed, on="edge"),
        _exposed("carbon film", seed, on="film"),
        _exposed("gold film", seed, on="film", grid={"material": "Gold"}),
        _exposed("crystalline ice", seed, grid={**UNBROKEN, "crystalline": 0.9}, square_kind="crystalline"),
        _exposed("aggregates", seed, grid={"particles_aggregated": 0.8, "particle_a": 150.0}),
        _exposed("denatured", seed, grid={"particles_denatured": 1.0, "particle_a": 150.0}),
        _exposed("crowded particles", seed, grid={"particles_per_um2": 3000.0}),
    ]
    about = "Micrographs, their frames aligned, with their power spectra; defocus −1.5 µm."
    return Section("spots", "What an exposure hits", about, (*sizes, *spots))


def _optics(seed: int) -> Section:
    shown = [
        _exposed(f"defocus {um:g} µm", seed, optics={"defocus_um": um}) for um in (-0.5, -1.0, -2.0, -3.0, -5.0, 1.0)
    ]
    shown += [_exposed(f"dose {dose:g} e⁻/Å²", seed, optics={"dose_e_per_a2": dose}) for dose in (5.0, 20.0, 80.0)]
    shown += [
        _exposed(f"astigmatism about {size:g} Å", seed, numbers={"optics.astigmatism_a": size})
        for size in (0.0, 2000.0, 8000.0)
    ]
    shown.append(_exposed("tilt 30°", seed, tilt_deg=30.0))
    about = "The rings draw together with defocus, and astigmatism makes ellipses of them."
    return Section("optics", "Defocus, dose, astigmatism", about, tuple(shown))


def _thickness(seed: int) -> Section:
    shown = [
        _exposed(f"about {nm:g} nm of ice", seed, grid={**UNBROKEN, "ice_nm": nm, "ice_spread": 0.0})
        for nm in (15.0, 40.0, 80.0, 160.0, 300.0)
    ]
    return Section("thickness", "Thickness of ice", "Thick ice damps and blurs the rings; thin ice expels.", (*shown,))


def _faults(seed: int) -> Section:
    shown = [
        Exhibit("beam-moved", Sitting("square", seed=seed, faults=("beam-moved",))),
        Exhibit("beam-moved", Sitting("atlas", seed=seed, faults=("beam-moved",))),
        Exhibit("dark-images, valve-closes,\nbeam-off, vacuum-lost", Sitting("square", seed=seed, faults=_DARK)),
        Exhibit("zero-loss-lost, with a filter", Sitting("hole", FILTERED, seed, faults=(_SLIT,), optics=_SMALL)),
    ]
    return Section("faults", "Faults in survey images", "Each just as it has struck.", tuple(shown))


def _shaken(seed: int) -> Section:
    shown = [_exposed(f"drift of {rate:g} Å/s", seed, drift_a_per_s=rate) for rate in (2.0, 10.0, 50.0)]
    shown += [_exposed(fault, seed, faults=(fault,)) for fault in SEEN_FAULTS if fault not in (*_DARK, _SLIT)]
    about = "Drift, shaking and a beam that is weak or astray; the frames are aligned as well as they can be."
    return Section("shaken", "Faults in exposures", about, tuple(shown))


_DARK = ("dark-images", "valve-closes", "beam-off", "vacuum-lost")
_SLIT = "zero-loss-lost"
_SMALL = {"rows_px": 1024, "cols_px": 1024}


def _instruments(seed: int) -> Section:
    shown = [
        Exhibit(f"{profile}\n{level}", Sitting(level, profile, seed))
        for profile in PROFILES
        for level in ("atlas", "square", "hole", "exposure")
    ]
    about = "The same grid before each of the shipped instruments; exposures as the camera sums them."
    return Section("instruments", "Instruments", about, tuple(shown))


def _of(seed: int, level: str, **grid: Any) -> Sitting:
    return Sitting(level, seed=seed, grid=grid)


def _exposed(title: str, seed: int, optics: Mapping[str, Any] = MappingProxyType({}), **asked: Any) -> Exhibit:
    return Exhibit(title, Sitting("exposure", seed=seed, optics={**FRAMES, **optics}, save_frames=True, **asked))


def count(walls: Iterable[Section]) -> int:
    """Count the exhibits."""
    return sum(len(wall.exhibits) for wall in walls)
