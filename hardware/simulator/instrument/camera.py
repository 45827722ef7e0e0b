"""Taking an image: the dose is given and written down first, then the picture is rendered and written."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....files.mrc import is_whole, read_metadata, write_mrc
from ....protocols.errors import BadInput
from ....protocols.preset import Preset
from ...errors import CameraTimeout, DiskFull, TargetFault
from ...records import SIGHTINGS, Acquired, ImageShift, Shot, StagePosition
from ..pictures import picture
from ..pictures.counting import counted_share
from . import rhythms, stage
from .instrument import Instrument
from .memory import Dose
from .profile import check_camera

HANG_S = 1e9
"""How long a call takes that never answers."""


def acquire(instrument: Instrument, shot: Shot, name: str) -> Acquired:
    """Expose and write.

    Raises
    ------
    TargetFault
        An exposure of this name is on disk; the ice has been spent on it already.
    CameraTimeout, DiskFull
        As a fault asks.
    """
    path = _path(instrument, name)
    preset, state = shot.preset, instrument.state
    check_camera(preset, instrument.profile.camera)
    if preset.level == "exposure" and path.exists():
        raise TargetFault(f"{name} is an exposure that is on disk already; it is never taken over, give another name")
    if "disk-full" in instrument.striking:
        raise DiskFull(f"{name}: the images' disk is full; make room on it")
    if instrument.share_gone(instrument.clock.now()):
        raise DiskFull(f"{name}: the images' folder cannot be written to; see to the share it lies on")
    again = state.preset == preset and state.last_level == "exposure"
    if state.preset != preset:
        state.preset = preset
        instrument.spend(instrument.profile.times.preset, "preset")
    state.last_level = preset.level
    begun = instrument.clock.now()
    marks = instrument.stains()
    give_dose(instrument, preset, name, preset.dose_e_per_a2)
    seen = instrument.eye.take(instrument, shot, begun, marks) if instrument.eye else None
    pixels = picture.take(instrument, shot, begun, marks) if seen is None else seen.pixels
    instrument.clock.sleep(preset.exposure_s)
    instrument.clock.sleep(_readout_s(instrument, preset, again=again))
    if "camera-hang" in instrument.striking:
        # Whoever waits gives up first; where nobody waits the clock must still go on.
        instrument.clock.sleep(HANG_S)
    if instrument.striking & {"camera-timeout", "camera-hang"}:
        raise CameraTimeout(f"{name}: the camera gave no image in time; the specimen may have been exposed")
    response = _response(instrument, instrument.eye.whole(instrument, preset) if instrument.eye else preset, begun)
    answer = _answer(instrument, preset if seen is None else seen.preset, name, path, pixels, begun, response)
    sightings = {} if seen is None else {SIGHTINGS: seen.sightings}
    write_mrc(path, pixels, answer.pixel_size_a, metadata={**_as_metadata(answer), **sightings})
    return answer


def _readout_s(instrument: Instrument, preset: Preset, *, again: bool) -> float:
    """Draw how long reading out and saving takes; exposures right after another are quicker now and then."""
    times, rng = instrument.profile.times, instrument.rng("acquire")
    seconds = times.acquire[preset.level].draw(float(rng.standard_normal()))
    quick = preset.level == "exposure" and again and float(rng.random()) < times.quick_share
    return seconds - times.quick_saves_s if quick else seconds


def stored(instrument: Instrument, name: str) -> Acquired | None:
    """Read back what is on disk under a name."""
    path = _path(instrument, name)
    if not is_whole(path):
        return None
    return _from_metadata(path, read_metadata(path))


def give_dose(instrument: Instrument, preset: Preset, name: str, dose: float) -> None:
    """Write the dose that reaches the specimen into the ledger, and let it have it."""
    state, now = instrument.state, instrument.clock.now()
    slot = state.on_stage
    given = dose * instrument.beam(now)
    if slot is None or given == 0.0:
        return
    x, y = instrument.to_grid(instrument.looked_at(now, preset))
    entry = Dose(
        name,
        slot,
        state.loads[slot],
        preset.level,
        float(x),
        float(y),
        preset.beam_diameter_um / 2,
        given,
        now,
        None if instrument.grid_on_stage == slot else instrument.grid_on_stage,
    )
    instrument.memory.write_dose(entry)
    instrument.doses.append(entry)


def _answer(
    instrument: Instrument,
    preset: Preset,
    name: str,
    path: Path,
    pixels: NDArray[Any],
    begun: datetime,
    response: Mapping[str, float],
) -> Acquired:
    state = instrument.state
    frames = len(pixels) if pixels.ndim == 3 else 1
    return Acquired(
        name=name,
        path=path,
        preset=preset.level,
        pixel_size_a=preset.pixel_size_a,
        image_to_stage=instrument.nominal(preset),
        stage=stage.position(instrument),
        image_shift=ImageShift(state.shift_x_um, state.shift_y_um),
        defocus_um=state.defocus_um,
        dose_e_per_a2=preset.dose_e_per_a2,
        frames=frames,
        mean_counts=float(pixels.sum(dtype=np.int64)) / pixels[0].size if frames > 1 else float(pixels.mean()),
        started_at=begun,
        ended_at=instrument.clock.now(),
        details={"magnification": preset.magnification, "slot": state.on_stage, **response},
    )


def _response(instrument: Instrument, preset: Preset, at: datetime) -> dict[str, float]:
    """Say what the camera counts for each electron of an exposure's dose, as gun and camera know it of themselves.

    The gun reads its own current; a counting camera knows how many electrons it takes two for one at this rate.
    """
    if preset.level != "exposure":
        return {}
    emitted = rhythms.emission(instrument.state, instrument.profile, at)
    rate = emitted * preset.dose_e_per_a2 * preset.pixel_size_a**2 / preset.exposure_s
    return {"counts_per_electron": emitted * counted_share(rate, instrument.profile.camera)}


def _as_metadata(answer: Acquired) -> dict[str, Any]:
    plain = asdict(replace(answer, path=None))
    return {**plain, "started_at": answer.started_at.isoformat(), "ended_at": answer.ended_at.isoformat()}


def _from_metadata(path: Path, kept: Mapping[str, Any]) -> Acquired | None:
    try:
        (a, b, c), (d, e, f) = kept["image_to_stage"]
        return Acquired(
            **{
                **{name: value for name, value in kept.items() if name != SIGHTINGS},
                "path": path,
                "image_to_stage": ((a, b, c), (d, e, f)),
                "stage": StagePosition(**kept["stage"]),
                "image_shift": ImageShift(**kept["image_shift"]),
                "started_at": datetime.fromisoformat(kept["started_at"]),
                "ended_at": datetime.fromisoformat(kept["ended_at"]),
            }
        )
    except (KeyError, TypeError, ValueError):
        return None


def _path(instrument: Instrument, name: str) -> Path:
    if not re.fullmatch(r"[\w.+=@-]{1,200}", name):
        raise BadInput(f"{name!r} cannot be an image's name; use letters, digits and . _ + - only")
    return instrument.images / f"{name}.mrc"
