"""A picture of atlas, square or hole level, from the state of the instrument."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ...protocols.preset import Preset
from . import render_survey
from .illuminated import layers_seen, light_of, matter_of
from .instrument import Instrument
from .specimen import Stain


def survey(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> NDArray[np.int16]:
    """Render what the camera reads out, (rows, cols)."""
    view, camera = instrument.view(preset, at), instrument.profile.camera
    layers = layers_seen(instrument, view, marks)
    defocus = instrument.true_defocus_um(instrument.looked_at(at, preset), at)
    through = render_survey.transmitted(
        layers, *matter_of(instrument), defocus, view.pixel_um, instrument.profile.optics.voltage_kv
    )
    light = light_of(instrument, preset, at)
    electrons = render_survey.lit(through, light, camera, render_survey.blur_px(camera, defocus, view.pixel_um))
    return render_survey.counted(electrons, camera, instrument.rng("pixels"))
