"""How a set of training images is varied: one grid and one instrument for each scene, drawn within stated ranges.

Numbers of the profile and the presets are multiplied by factors drawn evenly in their logarithm; what is not listed
stays as the profile has it. The ranges are wide on purpose (domain randomisation): a network shall meet more than one
microscope.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ....protocols.errors import BadInput
from ....protocols.grid_types import HOLE_TYPES, MATERIALS, MESHES, canonical
from ..grid.cassette_world import FREQUENCY, KINDS, GridSpec
from ..grid.film import RIM_UM
from ..instrument.profile import Profile, load_profile

Name = TypeVar("Name", bound=str)

PROFILE_FACTORS: Mapping[str, tuple[float, float]] = {
    "matter.ice_path_nm": (0.8, 1.25),
    "matter.carbon_path_nm": (0.8, 1.25),
    "matter.gold_path_nm": (0.8, 1.25),
    "optics.vignetting": (0.3, 1.8),
    "optics.astigmatism_a": (0.3, 2.5),
    "optics.vibration_b_a2": (0.6, 1.8),
    "optics.beam_centre_error": (0.3, 2.0),
    "optics.survey_convergence_mrad": (0.4, 2.5),
    "camera.read_noise_counts": (0.3, 3.0),
    "camera.dark_e_per_px": (0.3, 3.0),
    "camera.glow": (0.2, 2.0),
    "camera.blur_px": (0.6, 1.6),
    "camera.spread_px": (0.6, 1.6),
    "camera.gain_error": (0.3, 2.0),
    "camera.gain_wide_error": (0.3, 3.0),
    "camera.hot_pixels": (0.3, 5.0),
    "camera.dead_pixels": (0.3, 5.0),
    "camera.xrays_per_s": (0.3, 3.0),
}
"""Factors on numbers of the profile, by dotted name."""

PRESET_FACTORS: Mapping[str, tuple[float, float]] = {
    "pixel_size_a": (0.75, 1.3),
    "dose_e_per_a2": (0.4, 2.5),
    "defocus_um": (0.4, 1.6),
    "beam_diameter_um": (0.9, 1.6),
}
"""Factors on the presets of survey levels, each level its own."""

DISTORTION_FACTOR = 2.0
"""Distortions are multiplied by a number drawn evenly between this and its negative, each level its own."""

EXPOSURE_DEFOCUS_UM = (-3.0, -0.5)
EXPOSURE_DOSE = (0.6, 1.5)
"""At exposure level: defocus drawn evenly in this range, and a factor on the dose; its pixel size stays."""

ICE_FACTOR, GRADIENT_PLUS = (0.6, 1.6), 0.6
"""Factor on the thickness of ice that the kind has, and most that is added to its gradient."""

PARTICLE_A, PARTICLES_FACTOR = (80.0, 300.0), (0.2, 2.0)
"""Diameter of the particles, and a factor on their number."""

TILTED, TILT_DEG = 0.2, (10.0, 45.0)
"""Share of the scenes that are tilted, either way, and by how much."""

ATLAS_REACH = 0.8
"""Tiles of an atlas lie within this fraction of the grid's radius, so that some show its rim."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the scenes may be made of; an empty tuple means all there is.

    ``camera_scale`` shrinks the images of survey levels, which keep their field.
    """

    profile: str = "demo-2k"
    hole_types: tuple[str, ...] = ()
    meshes: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    camera_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One grid before one instrument: everything a studio is stood up with.

    ``centre_um`` is where the tile of the atlas lies, in the grid's frame.
    """

    profile: Profile
    spec: GridSpec
    seed: int
    tilt_deg: float
    centre_um: tuple[float, float]


def checked(choices: Choices) -> Choices:
    """Bring all names to the spelling of the lists; raises `BadInput` for one that is on none."""
    load_profile(choices.profile)
    if not 0 < choices.camera_scale <= 1:
        raise BadInput(f"a camera cannot be scaled by {choices.camera_scale:g}; give more than 0 and at most 1")
    return Choices(
        choices.profile,
        tuple(named(name, tuple(HOLE_TYPES), "grid type") for name in choices.hole_types),
        tuple(named(name, tuple(MESHES), "mesh") for name in choices.meshes),
        tuple(named(name, MATERIALS, "material") for name in choices.materials),
        tuple(named(name, tuple(KINDS), "kind of grid") for name in choices.kinds),
        choices.camera_scale,
    )


def named(given: str, known: Sequence[Name], what: str) -> Name:
    """Find a name in a list, whatever its case; raises `BadInput` with the list."""
    found = canonical(given, known)
    for name in known:
        if name == found:
            return name
    raise BadInput(f"there is no {what} called {given}; known are {', '.join(known)}")


def drawn_scene(choices: Choices, rng: np.random.Generator) -> Scene:
    """Draw one scene; the same state of the generator gives the same one."""
    profile = _varied(load_profile(choices.profile), choices.camera_scale, rng)
    kinds = choices.kinds or tuple(FREQUENCY)
    weights = np.array([FREQUENCY.get(kind, 0.1) for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    base = GridSpec(**{**KINDS[kind], "kind": kind})
    spec = base.model_copy(
        update={
            "hole_type": _one(choices.hole_types or tuple(HOLE_TYPES), rng),
            "mesh": _one(choices.meshes or tuple(MESHES), rng),
            "material": _one(choices.materials or MATERIALS, rng),
            "ice_nm": base.ice_nm * _factor(ICE_FACTOR, rng),
            "gradient": base.gradient + float(rng.uniform(0, GRADIENT_PLUS)),
            "particle_a": float(rng.uniform(*PARTICLE_A)),
            "particles_per_um2": base.particles_per_um2 * _factor(PARTICLES_FACTOR, rng),
        }
    )
    tilted, way = rng.random() < TILTED, math.copysign(1.0, rng.random() - 0.5)
    tilt = way * float(rng.uniform(*TILT_DEG)) * tilted
    radius, turn = RIM_UM * ATLAS_REACH * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
    seed = int(rng.integers(2**31))
    return Scene(profile, spec, seed, tilt, (radius * math.cos(turn), radius * math.sin(turn)))


def _varied(profile: Profile, camera_scale: float, rng: np.random.Generator) -> Profile:
    data: dict[str, Any] = profile.model_dump()
    for name, limits in PROFILE_FACTORS.items():
        *path, last = name.split(".")
        part = data
        for step in path:
            part = part[step]
        part[last] *= _factor(limits, rng)
    for level, optics in data["levels"].items():
        preset = optics["preset"]
        optics["rotation_deg"] = float(rng.uniform(0, 360))
        for name in ("distortion_radial", "distortion_spiral"):
            optics[name] *= float(rng.uniform(-DISTORTION_FACTOR, DISTORTION_FACTOR))
        if level in ("atlas", "square", "hole"):
            for name, limits in PRESET_FACTORS.items():
                preset[name] *= _factor(limits, rng)
            rows, cols = (max(round(preset[side] * camera_scale), 16) for side in ("rows_px", "cols_px"))
            shrunk = preset["rows_px"] / rows
            preset.update(rows_px=rows, cols_px=cols, pixel_size_a=preset["pixel_size_a"] * shrunk)
            preset["dose_e_per_a2"] /= shrunk**2
        else:
            preset["defocus_um"] = float(rng.uniform(*EXPOSURE_DEFOCUS_UM))
            preset["dose_e_per_a2"] *= _factor(EXPOSURE_DOSE, rng)
    return Profile.model_validate(data)


def _factor(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(float(rng.uniform(math.log(limits[0]), math.log(limits[1]))))


def _one(names: Sequence[Name], rng: np.random.Generator) -> Name:
    return names[int(rng.integers(len(names)))]
