"""What the state of the instrument does to an exposure: image shift, energy filter, thickness, crystals, film."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import ImageShift, Shot
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.pictures import illuminated, movie
from epicycle.hardware.simulator.pictures.particles import particles_in
from epicycle.hardware.simulator.pictures.specimen import View

Make = Callable[..., Any]


def mean_counts(microscope: Any, night: Any, name: str, **changes: Any) -> float:
    preset = microscope.presets()["exposure"].model_copy(update=changes)
    microscope.use(preset)
    return float(night.pixels(microscope.acquire(Shot(preset), name)).mean())


def test_image_shift_changes_defocus_astigmatism_and_tilt(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope)
    instrument, preset = behind(microscope), microscope.presets()["exposure"]
    microscope.use(preset)
    optics, at = instrument.profile.optics, night.clock.now()
    place = instrument.looked_at(at, preset)
    before, on_axis = instrument.true_defocus_um(place, at), movie.aberrations(instrument, preset, at)
    microscope.shift_image(ImageShift(6.0, -2.0))
    after = instrument.true_defocus_um(place, at)
    per_x, per_y = optics.shift_defocus_um_per_um
    assert after - before == pytest.approx(6.0 * per_x - 2.0 * per_y)
    shifted = movie.aberrations(instrument, preset, at)
    length = math.hypot(6.0, 2.0)
    assert on_axis.tilt_rad == (0.0, 0.0)
    assert math.hypot(*shifted.tilt_rad) == pytest.approx(1e-3 * optics.shift_tilt_mrad_per_um * length, rel=0.1)
    turned = [one.astigmatism_a * np.exp(2j * one.angle_rad) for one in (on_axis, shifted)]
    assert abs(turned[1] - turned[0]) == pytest.approx(optics.shift_astigmatism_a_per_um * length, rel=0.1)


@pytest.mark.parametrize("slit_ev", [None, 20.0])
def test_counts_tell_the_thickness_of_ice(
    bench: Make, on_square: Make, behind: Make, monkeypatch: pytest.MonkeyPatch, slit_ev: float | None
) -> None:
    """``I = I0 exp(-t / λ)``, λ that of the aperture alone, or of aperture and slit together."""
    night = bench(profile="collection-300kv", camera_scale=0.0625)
    microscope = night.connect()
    on_square(microscope)
    instrument = behind(microscope)
    matter = instrument.profile.matter
    laid = illuminated.layers_seen

    def of_ice(thickness_nm: float) -> Callable[..., Any]:
        def seen(*given: Any) -> Any:
            layers = laid(*given)
            layers.ice_nm[:], layers.film_nm[:], layers.free[:] = thickness_nm, 0.0, 1.0
            return layers

        return seen

    counts = {}
    for thickness in (0.0, 50.0, 150.0):
        monkeypatch.setattr(movie, "layers_seen", of_ice(thickness))
        counts[thickness] = mean_counts(microscope, night, f"ice-{thickness:g}", slit_ev=slit_ev)
    path = matter.ice_path_nm
    if slit_ev is not None:
        path = 1 / (1 / path + 1 / matter.ice_inelastic_path_nm)
    for thickness in (50.0, 150.0):
        # A camera that loses fast electrons sees thick ice a little too bright.
        assert path * math.log(counts[0.0] / counts[thickness]) == pytest.approx(thickness, rel=0.08)


def test_a_zero_loss_peak_off_the_slit_costs_counts(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(profile="collection-300kv", camera_scale=0.0625)
    microscope = night.connect()
    on_square(microscope)
    good = mean_counts(microscope, night, "good", slit_ev=20.0)
    instrument = behind(microscope)
    instrument.state.zero_loss_left_ev += 12.0
    assert abs(instrument.zero_loss_offset_ev(night.clock.now())) > 8.0
    assert mean_counts(microscope, night, "off", slit_ev=20.0) < 0.6 * good
    assert mean_counts(microscope, night, "out", slit_ev=None) > good


def test_film_stops_particles_and_gold_most_electrons(bench: Make, on_square: Make, behind: Make) -> None:
    light = {}
    for material in ("Carbon", "Gold"):
        night = bench(world={"grids": {"1": {"material": material, "empty": 0, "torn": 0}}}, folder=material)
        microscope = night.connect()
        on_square(microscope)
        instrument, preset = behind(microscope), microscope.presets()["exposure"]
        view = instrument.view(preset, night.clock.now())
        layers = illuminated.layers_seen(instrument, view.coarser(movie.COARSE), ())
        layers.film_nm[:], layers.ice_nm[:], layers.free[:] = instrument.world.film.thickness_nm, 45.0, 1.0
        assert particles_in(instrument.world, view, layers, movie.COARSE, 200.0) is None
        paths, gold = illuminated.matter_of(instrument, preset)
        assert gold is (material == "Gold")
        light[material] = math.exp(-instrument.world.film.thickness_nm / paths.film_nm)
    assert light["Gold"] < 0.7 * light["Carbon"]


def test_crystalline_squares_show_spots_that_stay(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(world={"grids": {"1": {"crystalline": 0.5, "torn": 0, "empty": 0, "cracked": 0, "dry": 0}}})
    microscope = night.connect()
    on_square(microscope)
    instrument, preset = behind(microscope), microscope.presets()["exposure"]
    view = instrument.view(preset, night.clock.now())
    squares = instrument.world.squares
    kinds = {}
    for kind in (SquareKind.CRYSTALLINE, SquareKind.INTACT, SquareKind.THICK):
        for number in np.flatnonzero(squares.kind == kind)[:1]:
            middle = np.array([squares.x_um.flat[number], squares.y_um.flat[number]])
            here = View(np.column_stack([view.to_grid[:, :2], middle]), view.rows, view.cols)
            kinds[kind] = [movie._crystals(instrument, here) for _ in range(2)]
    first, second = kinds.pop(SquareKind.CRYSTALLINE)
    assert first is not None
    assert np.array_equal(first, second)
    assert all(spots == [None, None] for spots in kinds.values())
