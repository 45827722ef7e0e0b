"""A picture of atlas, square or hole level, from the state of the instrument."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..grid.cells import Floats
from ..instrument.instrument import Instrument
from . import detector, render_survey
from .illuminated import layers_seen, light_of, matter_of
from .render_survey import Blur
from .specimen import Layer, Stain, View

NODES = 9
"""Places along each side of an image at which its focus is worked out."""

EVEN = 0.05
"""Focus that varies over an image by less than this fraction is taken as the same everywhere."""


def survey(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> NDArray[np.int16]:
    """Render what the camera reads out, (rows, cols)."""
    view, camera = instrument.view(preset, at), instrument.profile.camera
    layers = layers_seen(instrument, view.straightened(), marks)
    defocus = focus_over(instrument, preset, view, at)
    through = render_survey.transmitted(
        layers, *matter_of(instrument, preset), defocus, view.pixel_um, instrument.profile.optics.voltage_kv
    )
    if view.distortion is not None:
        through = view.distortion.apply(through)
    blur = Blur(
        camera.blur_px,
        defocus * np.float32(instrument.profile.optics.survey_convergence_mrad * 1e-3 / view.pixel_um),
        movement_px(instrument, preset, at),
        shaking_px(instrument, preset, at),
    )
    electrons = render_survey.lit(through, light_of(instrument, preset, at), blur)
    electrons = render_survey.glowing(electrons, camera.glow)
    sensor = detector.Sensor(instrument.sensor_key, preset.rows_px, preset.cols_px, preset.binning)
    return detector.counted(electrons, preset.exposure_s, camera, sensor, instrument.rng("pixels"))


def focus_over(instrument: Instrument, preset: Preset, view: View, at: datetime) -> Layer:
    """Give the defocus in µm on coarse nodes over the image, underfocus negative; (1, 1) where it is much the same.

    A tilted grid is nearer to the lens on one side than on the other, and none is flat.
    """
    middle = instrument.looked_at(at, preset)
    here = instrument.true_defocus_um(middle, at)
    world = instrument.world
    if world is None:
        return np.full((1, 1), here, np.float32)
    rows, cols = np.linspace(0, view.rows - 1, NODES), np.linspace(0, view.cols - 1, NODES)
    pixels = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    places = view.places_of(pixels)
    height = world.height_um(places[..., 0], places[..., 1])
    x, y = instrument.to_grid(middle)
    height = height - float(world.height_um(x, y))
    # Towards +y of the stage the tilted plane rises; a pixel's way there is foreshortened in the image already.
    _, rotation = instrument.true_level(preset)
    turn = math.radians(rotation)
    off = pixels - [(view.rows - 1) / 2, (view.cols - 1) / 2]
    along = (off[..., 0] * math.cos(turn) + off[..., 1] * math.sin(turn)) * view_pixel_um(instrument, preset)
    height = height + along * math.tan(math.radians(instrument.state.alpha_deg))
    if np.ptp(height) < EVEN * abs(here):
        return np.full((1, 1), here, np.float32)
    return np.asarray(here - height, np.float32)


def view_pixel_um(instrument: Instrument, preset: Preset) -> float:
    """Give the true pixel size in the image plane, where nothing is foreshortened."""
    return instrument.true_level(preset)[0] * 1e-4


def movement_px(instrument: Instrument, preset: Preset, at: datetime) -> Floats:
    """Give how far the specimen's image moves while the shutter is open, (row, col), by the stage's drift."""
    end = at + timedelta(seconds=preset.exposure_s)
    carried = instrument.drifted_um(end) - instrument.drifted_um(at)
    _, rotation = instrument.true_level(preset)
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    squeezed = carried * [1.0, math.cos(math.radians(instrument.state.alpha_deg))]
    return np.array([[-s, c], [c, s]]) @ squeezed / view_pixel_um(instrument, preset)


def shaking_px(instrument: Instrument, preset: Preset, at: datetime) -> float:
    """Give the standard deviation of the trembling that fills, pumps and vibration give the specimen."""
    travelled = instrument.shaking_a_per_s(at) * 1e-4 * preset.exposure_s
    return travelled / math.sqrt(12) / view_pixel_um(instrument, preset)
