"""How well focusing does where no picture is rendered: outcomes drawn from what it did on pictures."""

from typing import Literal

from ...errors import FocusFailed
from ...protocols import HeightMethod
from ...records import Focused
from ..grid.cells import Floats
from ..instrument import beam_tilt, camera
from ..instrument.instrument import Instrument

TILT_PICTURES = 4
"""Pictures that the height by tilting usually takes of a square."""


def height_um(instrument: Instrument, how: HeightMethod, working_um: float) -> float:
    """Draw what a measurement of the height here answers, by focus at a working defocus; raises `FocusFailed`."""
    here = instrument.looked_at(instrument.clock.now())
    answer = _answer(instrument, "height" if how == "tilt" else "autofocus")
    if how == "tilt":
        square = instrument.profile.levels["square"].preset
        camera.give_dose(instrument, square, "eucentric height", TILT_PICTURES * square.dose_e_per_a2)
    if answer is None:
        raise FocusFailed(
            "eucentric height: pictures have nothing in common (no film, a bar, or too far off); try another place"
        )
    scale_um = 0.0 if how == "tilt" else beam_tilt.scale_offset_um(instrument, working_um)
    return instrument.height_um(here) + float(answer[0]) + scale_um


def autofocus(instrument: Instrument, target_um: float, working_um: float) -> Focused:
    """Draw the outcome of an autofocus at a working defocus here and set another; raises `FocusFailed`."""
    state, now = instrument.state, instrument.clock.now()
    here = instrument.looked_at(now)
    height = state.focal_um + state.defocus_um - instrument.true_defocus_um(here, now)
    if abs(height - state.focal_um) > instrument.profile.focusing.autofocus_range_um:
        raise FocusFailed("autofocus: the specimen is too far from focus; find the eucentric height first")
    answer = _answer(instrument, "autofocus")
    if answer is None:
        raise FocusFailed(
            "autofocus: pictures under a tilted beam show nothing in common (no film here, a bar, or too thick); try "
            "another place"
        )
    error_um, read_off_um, trusted = answer.tolist()
    state.focal_um = height + error_um + beam_tilt.scale_offset_um(instrument, working_um)
    state.defocus_um = target_um
    return Focused(target_um + read_off_um, trusted > 0.5, state.focal_um)


def _answer(instrument: Instrument, table: Literal["height", "autofocus"]) -> Floats | None:
    assert instrument.eye is not None, "only a microscope without pixels draws its focus"
    return instrument.eye.focused(instrument, table)
