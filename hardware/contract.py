"""What every microscope must do, as a test class: subclass it, give the fixture, inherit the checks.

A plug-in's author writes::

    class TestOurs(MicroscopeContract):
        @pytest.fixture
        def microscope(self, tmp_path): ...

The fixture gives an instrument with a grid in ``occupied_slot`` and nothing on the stage. Set ``empty_slot`` where
there is one.
"""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import get_args

from ..files.mrc import is_whole, read_frames, read_header
from ..protocols.preset import Level
from .errors import HardwareError, LoaderFault, StageLimit, TargetFault
from .protocols import Microscope
from .records import ImageShift, Shot, SlotState, StagePosition, Vacuum


class MicroscopeContract:
    """The behaviour the orchestrator relies upon."""

    occupied_slot: int = 1
    empty_slot: int | None = None
    reading_um: float = 0.2
    """How far a stage may read from where it was sent."""

    def test_says_what_it_can_do(self, microscope: Microscope) -> None:
        """Limits are positive, and every level has a preset of its own name."""
        can = microscope.capabilities()
        assert can.name
        assert can.slots >= 1
        assert min(can.stage_limit_um, can.tilt_limit_deg, can.image_shift_limit_um, can.voltage_kv, can.cs_mm) > 0
        presets = microscope.presets()
        assert set(presets) == set(get_args(Level))
        assert all(preset.level == level for level, preset in presets.items())

    def test_inventory_lists_every_slot_once(self, microscope: Microscope) -> None:
        """Slots are numbered from 1; the occupied one says so."""
        slots = microscope.inventory()
        assert [slot.number for slot in slots] == list(range(1, microscope.capabilities().slots + 1))
        states = {slot.number: slot.state for slot in slots}
        assert states[self.occupied_slot] is SlotState.OCCUPIED
        if self.empty_slot is not None:
            assert states[self.empty_slot] is SlotState.EMPTY

    def test_a_loaded_grid_still_belongs_to_its_slot(self, microscope: Microscope) -> None:
        """Loading twice is loading once; unloading twice is unloading once."""
        assert microscope.loaded() is None
        microscope.load(self.occupied_slot)
        microscope.load(self.occupied_slot)
        assert microscope.loaded() == self.occupied_slot
        states = {slot.number: slot.state for slot in microscope.inventory()}
        assert states[self.occupied_slot] is SlotState.ON_STAGE
        microscope.unload()
        microscope.unload()
        assert microscope.loaded() is None

    def test_an_empty_slot_is_a_loader_fault(self, microscope: Microscope) -> None:
        """The stage is empty after a load that failed."""
        if self.empty_slot is not None:
            empty = self.empty_slot
            assert isinstance(_raised(lambda: microscope.load(empty)), LoaderFault)
            assert microscope.loaded() is None

    def test_stage_reads_where_it_went(self, microscope: Microscope) -> None:
        """The answer of a move is what `position` reads afterwards."""
        microscope.load(self.occupied_slot)
        for target in (StagePosition(120.0, -80.0, 10.0), StagePosition(120.0, -80.0, 10.0), StagePosition(0.0, 0.0)):
            got = microscope.go_to(target)
            assert math.dist((got.x_um, got.y_um, got.z_um), (target.x_um, target.y_um, target.z_um)) < self.reading_um
            assert microscope.position() == got

    def test_beyond_the_stage_is_a_target_fault(self, microscope: Microscope) -> None:
        """A stage that cannot go somewhere stays where it is."""
        microscope.load(self.occupied_slot)
        before = microscope.position()
        far = microscope.capabilities().stage_limit_um + 10.0
        assert isinstance(_raised(lambda: microscope.go_to(StagePosition(far, 0.0))), StageLimit)
        assert microscope.position() == before

    def test_image_shift_is_absolute_and_limited(self, microscope: Microscope) -> None:
        """Shifting twice does not add up; using a preset takes the shift off; too far is a target fault."""
        self._ready(microscope)
        hole = microscope.presets()["hole"]
        microscope.use(hole)
        for _ in range(2):
            microscope.shift_image(ImageShift(1.5, -1.0))
        assert microscope.acquire(Shot(hole), "shifted").image_shift == ImageShift(1.5, -1.0)
        microscope.use(hole)
        assert microscope.acquire(Shot(hole), "straight").image_shift == ImageShift(0.0, 0.0)
        far = microscope.capabilities().image_shift_limit_um * 1.5
        assert isinstance(_raised(lambda: microscope.shift_image(ImageShift(far, 0.0))), TargetFault)

    def test_an_image_is_whole_and_can_be_asked_for_again(self, microscope: Microscope) -> None:
        """The name fixes the file; `stored` answers as `acquire` did, and None for what never was."""
        self._ready(microscope)
        for level in ("atlas", "square", "hole"):
            preset = microscope.presets()[level]
            microscope.use(preset)
            got = microscope.acquire(Shot(preset), f"first-{level}")
            assert got.path is not None
            assert is_whole(got.path)
            header = read_header(got.path)
            assert (header.rows, header.cols, header.frames) == (preset.rows_px, preset.cols_px, got.frames)
            assert math.isclose(header.pixel_size_a or 0.0, preset.pixel_size_a, rel_tol=1e-4)
            assert microscope.stored(f"first-{level}") == got
            assert got.ended_at - got.started_at >= timedelta(seconds=preset.exposure_s)
        assert microscope.stored("never-taken") is None

    def test_affine_puts_the_middle_where_the_stage_is(self, microscope: Microscope) -> None:
        """Pixels and µm agree: the middle pixel lies at the stage's position plus the shift, a pixel is its size."""
        self._ready(microscope)
        here = microscope.go_to(StagePosition(50.0, -30.0))
        preset = microscope.presets()["square"]
        microscope.use(preset)
        microscope.shift_image(ImageShift(2.0, 1.0))
        (a, b, c), (d, e, f) = microscope.acquire(Shot(preset), "affine").image_to_stage
        row, col = (preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2
        middle = (a * row + b * col + c, d * row + e * col + f)
        assert math.dist(middle, (here.x_um + 2.0, here.y_um + 1.0)) < 1.0
        assert math.isclose(abs(a * e - b * d), (preset.pixel_size_a * 1e-4) ** 2, rel_tol=0.01)

    def test_a_survey_may_be_retaken_an_exposure_never(self, microscope: Microscope) -> None:
        """An exposure that is on disk is kept, whatever comes."""
        self._ready(microscope)
        presets = microscope.presets()
        for _ in range(2):
            microscope.acquire(Shot(presets["square"]), "again")
        exposure = Shot(presets["exposure"])
        path = microscope.acquire(exposure, "once").path
        assert path is not None
        kept = path.read_bytes()
        assert isinstance(_raised(lambda: microscope.acquire(exposure, "once")), TargetFault)
        assert path.read_bytes() == kept

    def test_frames_are_kept_when_asked(self, microscope: Microscope) -> None:
        """One section for each frame, or one for all."""
        self._ready(microscope)
        preset = microscope.presets()["exposure"]
        movie = microscope.acquire(Shot(preset, save_frames=True), "movie")
        single = microscope.acquire(Shot(preset, save_frames=False), "single")
        assert movie.path is not None
        assert len(read_frames(movie.path)) == movie.frames == preset.frames
        assert single.path is not None
        assert len(read_frames(single.path)) == single.frames == 1

    def test_a_closed_valve_gives_black_images(self, microscope: Microscope) -> None:
        """Counts tell a black image from data."""
        self._ready(microscope)
        atlas = Shot(microscope.presets()["atlas"])
        bright = microscope.acquire(atlas, "bright").mean_counts
        microscope.park()
        assert not microscope.status().valve_open
        assert microscope.acquire(atlas, "black").mean_counts < 0.05 * bright

    def test_settling_ends(self, microscope: Microscope) -> None:
        """It ends at the limit or at the time-out, and says which."""
        self._ready(microscope)
        microscope.go_to(StagePosition(300.0, 200.0))
        patient = microscope.settle(2.0, 300.0)
        assert patient.settled
        assert patient.rate_a_per_s <= 2.0
        hasty = microscope.settle(1e-6, 20.0)
        assert not hasty.settled
        assert hasty.waited_s < 60.0

    def test_health_is_read_without_effect(self, microscope: Microscope) -> None:
        """Reading the status changes nothing."""
        self._ready(microscope)
        status = microscope.status()
        assert status.valve_open
        assert status.beam_on
        assert status.loader_ok
        assert status.vacuum is Vacuum.GREEN
        assert microscope.status().valve_open

    def test_parks_from_any_state(self, microscope: Microscope) -> None:
        """Before anything, after everything, and twice."""
        microscope.park()
        self._ready(microscope)
        microscope.go_to(StagePosition(100.0, 100.0, 5.0, 10.0))
        microscope.shift_image(ImageShift(1.0, 1.0))
        microscope.park()
        microscope.park()
        at = microscope.position()
        assert math.hypot(at.x_um, at.y_um) < 1.0
        assert abs(at.alpha_deg) < 0.5
        assert not microscope.status().valve_open

    def test_a_refill_leaves_time_until_the_next(self, microscope: Microscope) -> None:
        """After a refill no dewar is filling, and the next is not due at once."""
        if microscope.capabilities().has_refill:
            microscope.refill()
            status = microscope.status()
            assert not status.filling
            assert status.refill_due_s is None or status.refill_due_s > 600.0

    def _ready(self, microscope: Microscope) -> None:
        microscope.load(self.occupied_slot)
        microscope.open_valve()
        microscope.open_valve()


def _raised(act: Callable[[], object]) -> HardwareError | None:
    try:
        act()
    except HardwareError as error:
        return error
    return None
