"""What really lies in the slots: grids of good and bad kinds, given in a file or drawn from the seed."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from ....protocols.cassette import Cassette
from ....protocols.errors import BadInput
from ..instrument.faults import Fault
from ..instrument.profile import Frozen, first_complaint, read_yaml
from ..pictures.density_map import read_volume
from .cells import key, uniform
from .film import bars_of, film_of


class GridSpec(Frozen):
    """How a grid turned out; the world of one slot is drawn from it and the seed.

    The fractions of squares are those of the whole grid; what they leave is intact.
    """

    kind: str = Field(default="good", description="Kind whose numbers stand where none are given here.")
    occupied: bool = Field(default=True, description="Whether there is a grid in the slot at all.")
    hole_type: str = Field(default="", description="Support film if it is not the one the cassette names.")
    mesh: str = Field(default="", description="Mesh if it is not the one the cassette names.")
    material: str = Field(default="", description="Film material if it is not the one the cassette names.")
    ice_nm: float = Field(default=38.0, ge=0, description="Median thickness of the ice in the middle of the squares.")
    ice_spread: float = Field(
        default=0.27, ge=0, description="Its spread over the squares, as a standard deviation of ln."
    )
    ice_spread_inside: float = Field(default=0.2, ge=0, description="Its spread within a square, likewise.")
    ice_spread_holes: float = Field(default=0.08, ge=0, description="Its spread from hole to hole, likewise.")
    gradient: float = Field(default=0.25, description="Blotting: change of ln thickness from the centre to the rim.")
    hole_ice: float = Field(
        default=1.0,
        gt=0,
        description="Ice in holes relative to that on the film; where it is much more, holes are dark.",
    )
    lens: float = Field(default=0.32, ge=0, le=0.8, description="How much thinner a hole's ice is in its middle.")
    lens_spread: float = Field(default=0.06, ge=0, description="Its standard deviation from hole to hole.")
    lean: float = Field(default=0.15, ge=0, description="How far ice in a hole slopes to one side, as a fraction.")
    collar_nm: float = Field(default=18.0, ge=0, description="Ice piled up on the film at the edges of holes.")
    meniscus_nm: float = Field(default=220.0, ge=0, description="Ice added right at the bars.")
    thick_centres: float = Field(default=0.12, ge=0, le=1, description="Fraction of squares with a thick patch.")
    empty: float = Field(default=0.03, ge=0, le=1, description="Fraction of squares that have lost their film.")
    torn: float = Field(default=0.06, ge=0, le=1, description="Fraction with a tear.")
    cracked: float = Field(default=0.05, ge=0, le=1, description="Fraction with a crack.")
    dry: float = Field(default=0.05, ge=0, le=1, description="Fraction without ice.")
    thick: float = Field(default=0.06, ge=0, le=1, description="Fraction with ice too thick to use.")
    small: float = Field(default=0.02, ge=0, le=1, description="Fraction that ice makes look small and round.")
    crystalline: float = Field(default=0.02, ge=0, le=1, description="Fraction with crystalline ice.")
    contaminated: float = Field(default=0.06, ge=0, le=1, description="Fraction with much contamination.")
    wrinkled: float = Field(default=0.04, ge=0, le=1, description="Fraction of squares over which the film has folded.")
    ethane: float = Field(default=0.04, ge=0, description="Drops of frozen ethane per square.")
    dendrites: float | None = Field(
        default=None, ge=0, description="Fern-like growths per square; left out, as usual on this film."
    )
    bent_um: float = Field(default=12.0, ge=0, description="How far the grid is bent, as a deviation of height.")
    marks: bool = Field(default=True, description="Whether the mesh has a mark at its centre and letters at the rim.")
    crystals: float = Field(default=3.0, ge=0, description="Ice crystals per ordinary square.")
    empty_holes: float = Field(default=0.02, ge=0, le=1, description="Fraction of holes without ice on good squares.")
    particles_per_um2: float = Field(default=600.0, ge=0, description="Particles in ice of ordinary thickness.")
    particle_a: float = Field(default=120.0, gt=0, description="Diameter of a particle.")
    particles_aggregated: float = Field(default=0.04, ge=0, le=1, description="Fraction of them that lie in clumps.")
    particles_denatured: float = Field(default=0.03, ge=0, le=1, description="Fraction of them that have unfolded.")
    density_map: str | None = Field(default=None, description="The particle's density, an MRC map; else a random one.")
    density_map_pixel_a: float | None = Field(default=None, gt=0, description="Its pixel size where it holds none.")
    b_a2: float = Field(default=0.0, ge=0, description="What this sample adds to the envelope exp(-B k²/4).")


KINDS: Mapping[str, Mapping[str, Any]] = {
    "good": {},
    "ordinary": {
        "ice_nm": 58.0, "ice_spread": 0.45, "torn": 0.12, "cracked": 0.1, "thick": 0.18, "dry": 0.12, "b_a2": 110.0,
    },
    "broken": {
        "empty": 0.45, "torn": 0.3, "dry": 0.25, "cracked": 0.0, "thick": 0.0, "contaminated": 0.0, "b_a2": 60.0,
    },
    "thick-ice": {"ice_nm": 190.0, "thick": 0.55, "meniscus_nm": 700.0, "thick_centres": 0.5, "dry": 0.0},
    "dry": {
        "ice_nm": 11.0, "dry": 0.6, "thick": 0.02, "empty_holes": 0.35, "meniscus_nm": 80.0, "torn": 0.12, "b_a2": 60.0,
    },
    "contaminated": {"ice_nm": 70.0, "contaminated": 0.75, "crystals": 30.0, "b_a2": 130.0},
    "gradient": {"ice_nm": 65.0, "gradient": 2.3, "b_a2": 110.0},
    "filled-holes": {"ice_nm": 60.0, "hole_ice": 2.2, "lens": 0.1, "collar_nm": 0.0},
    "denatured": {"ice_nm": 45.0, "particles_per_um2": 40.0, "particles_aggregated": 0.3,
        "particles_denatured": 0.8, "b_a2": 220.0,
    },
    "aldolase": {
        "ice_nm": 198.0, "ice_spread": 0.475, "ice_spread_inside": 0.62, "ice_spread_holes": 0.28, "gradient": 0.1,
        "b_a2": 5.0,
    },
}  # fmt: skip
"""Kinds of grids, as differences from a good one; `aldolase` is fitted to the recorded session of that sample."""

FREQUENCY = {
    "good": 0.2, "ordinary": 0.25, "broken": 0.08, "thick-ice": 0.12,
    "dry": 0.1, "contaminated": 0.1, "gradient": 0.1, "denatured": 0.05,
}  # fmt: skip
"""How often each kind is drawn when nobody says what is in the cassette; assumed."""


class CassetteWorld(Frozen):
    """What lies in the cassette, and what will go wrong with it."""

    about: str = Field(default="", description="For people.")
    grids: dict[int, GridSpec] = Field(default_factory=dict, description="By slot; other slots as the cassette says.")
    faults: tuple[Fault, ...] = Field(default=(), description="Faults of this night.")


def load_world(given: "str | Mapping[str, Any] | CassetteWorld | None") -> CassetteWorld:
    """Read a world by name, from a file or from a mapping; None is a world that leaves all to the seed."""
    if given is None or isinstance(given, CassetteWorld):
        return given or CassetteWorld()
    raw = read_yaml(given, "cassettes") if isinstance(given, str) else given
    try:
        return CassetteWorld.model_validate(raw)
    except ValidationError as error:
        raise BadInput(
            f"world {given if isinstance(given, str) else 'in the options'}: {first_complaint(error)}"
        ) from error


def grids_of(world: CassetteWorld, cassette: Cassette, seed: int, slots: int) -> dict[int, GridSpec]:
    """Say what is in every occupied slot: as the world says, else a kind drawn from the seed where a grid is listed."""
    named = {entry.slot: entry for entry in cassette.slots}
    found: dict[int, GridSpec] = {}
    for slot in range(1, slots + 1):
        spec = world.grids.get(slot)
        if spec is None and slot in named and not world.grids:
            spec = GridSpec(kind=_drawn_kind(seed, slot))
        if spec is None or not spec.occupied:
            continue
        entry = named.get(slot)
        film = {
            name: getattr(spec, name) or (getattr(entry, name) if entry else "") or fallback
            for name, fallback in (("hole_type", "R1.2/1.3"), ("mesh", "300"), ("material", "Carbon"))
        }
        found[slot] = completed(spec).model_copy(update=film)
        # Names nobody knows and maps nobody can read are better said now than when the slot is loaded.
        if found[slot].density_map is not None:
            read_volume(str(found[slot].density_map), found[slot].density_map_pixel_a)
        film_of(found[slot].hole_type, found[slot].material, seed)
        bars_of(found[slot].mesh, seed)
    return found


def completed(spec: GridSpec) -> GridSpec:
    """Fill in the numbers of the grid's kind where the spec gives none of its own; raises `BadInput`."""
    if spec.kind not in KINDS:
        raise BadInput(f"there is no kind of grid called {spec.kind}; known are {', '.join(KINDS)}")
    return GridSpec(**{**KINDS[spec.kind], **spec.model_dump(exclude_unset=True)})


def _drawn_kind(seed: int, slot: int) -> str:
    left = float(uniform(key("kind", seed), "kind", slot)) * sum(FREQUENCY.values())
    for kind, share in FREQUENCY.items():
        left -= share
        if left <= 0:
            return kind
    return kind
