"""A night that aims by calibrations: what is demanded of them, what the record keeps, what a resumed night does.

They are held to their limits when the night begins, where a person is there to measure again. Of a night that is taken
up later, what has become stale is left out, and the record says so.
"""

from datetime import datetime
from typing import Any

from ..protocols.errors import BadInput, EpicycleError
from ..protocols.preset import Level
from ..targeting.aiming import aiming_by
from ..targeting.calibration import Calibrations, usable
from ..targeting.calibration_file import as_plain, from_plain
from .night import Night

KEPT = "calibrations"
"""Under this name the session's row keeps them, with what the microscope says of itself."""


def demanded(known: Calibrations, file: str, night_begins_at: datetime) -> None:
    """Refuse calibrations that must not be aimed by; raises BadInput with a sentence for each."""
    _, refused = usable(known, night_begins_at)
    if refused:
        raise BadInput(f"{file}: {' '.join(refused)}")


def described(known: Calibrations) -> tuple[str, dict[str, Any]]:
    """Give a sentence on what is aimed by, and its dates and residuals for the record."""
    qualities = {f"offset {one.coarse} to {one.fine}": one.quality for one in known.offsets}
    if known.image_shift is not None:
        qualities["image shift"] = known.image_shift.quality
    said = ", ".join(
        f"{name} ({quality.taken_at:%Y-%m-%d %H:%M} UTC, {quality.residual_um:.3f} µm left)"
        for name, quality in sorted(qualities.items())
    )
    body = {
        name: {"taken_at": quality.taken_at.isoformat(), "residual_um": quality.residual_um}
        for name, quality in sorted(qualities.items())
    }
    return said or "nothing", body


def aim(night: Night, *, new: bool) -> None:
    """Aim by what the record keeps, if it keeps any.

    Raises
    ------
    BadInput
        In a new night: calibrations of another microscope or of other presets than the night's.
    """
    plain = night.me.microscope.get(KEPT)
    if plain is None:
        return
    known = from_plain(plain)
    kept, refused = usable(known, night.clock.now())
    strange = _strange(night, known)
    if new and strange:
        raise BadInput(strange)
    if strange:
        kept, refused = Calibrations(known.microscope), (*refused, strange)
    if refused:
        microscope = {**night.me.microscope, KEPT: as_plain(kept)}
        night.set(f"no longer aimed by: {' '.join(refused)}", "calibrations_dropped", microscope=microscope)
    night.column.aiming = aiming_by(kept)


def _strange(night: Night, known: Calibrations) -> str:
    """Say why calibrations were not measured on this microscope with these optics; nothing where they were."""
    name = night.column.capabilities().name
    if known.microscope != name:
        return f"The calibrations are of the microscope {known.microscope}, this one is {name}; measure them here."
    asked: set[Level] = {level for one in known.offsets for level in (one.coarse, one.fine)}
    for level in sorted(asked | set(known.magnifications)):
        measured, preset = known.magnifications.get(level), _magnification(night, level)
        if measured != preset:
            return (
                f"The calibrations' magnification at {level} level is {measured or 'not said'}, this night's is "
                f"{preset or 'unknown'}; measure them with the night's presets."
            )
    return ""


def _magnification(night: Night, level: Level) -> int | None:
    try:
        return night.preset(level).magnification
    except EpicycleError:
        return None
