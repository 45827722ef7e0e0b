"""What the instrument is like at a moment: everything that must outlive the process that drives it."""

from dataclasses import dataclass, field
from datetime import datetime

from ....protocols.preset import Preset


@dataclass
class State:
    """Everything about the instrument that outlives its process.

    Attributes
    ----------
    now
        The time it has lived to.
    acts
        Acts that drew random numbers; each has its own generator.
    calls, calls_of, strikes
        Hardware calls of any kind, by method, and how often each fault struck.
    loads, attempts
        Successful and attempted loads by slot.
    x_um, y_um, z_um, alpha_deg
        Where the stage believes it is; ``error_*`` is what it is off by, of which ``slow_*`` outlives short moves.
    drift_a_per_s, drift_turn_rad, drift_tau_s, moved_at
        Drift at the end of the last move, its direction and decay.
    defocus_um, focal_um
        Defocus set, and the height (µm) at which the specimen is in focus when that is zero.
    fill_at, fill_s, fills
        Begin and length of the running or next dewar fill, and how many have ended; ``filled_at`` is the last end.
        ``pump_*`` and ``flash_*`` say the same of pump cycles and of flashes of the emitter.
    play_x_um, play_y_um
        By how much each drive lags behind, within its play.
    zero_loss_at, zero_loss_left_ev, zero_loss_jump_ev
        When the zero-loss peak was centred last, what that left, and what it has jumped by since.
    emission_lost
        Fraction of the beam that a tired emitter has lost besides its usual decay, until the next flash.
    in_slot, grid
        Grids that lie in another slot than at the start, by slot (None for an empty one), and the grid on the stage;
        a grid is named by the slot it began the night in. Nobody who drives the instrument can read this.
    last_level
        Level of the last image.
    """

    started: datetime
    now: datetime
    fill_at: datetime
    fill_s: float
    acts: int = 0
    calls: int = 0
    calls_of: dict[str, int] = field(default_factory=dict)
    strikes: dict[int, int] = field(default_factory=dict)
    on_stage: int | None = None
    loads: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    jammed: bool = False
    x_um: float = 0.0
    y_um: float = 0.0
    z_um: float = 0.0
    alpha_deg: float = 0.0
    error_x_um: float = 0.0
    error_y_um: float = 0.0
    error_z_um: float = 0.0
    slow_x_um: float = 0.0
    slow_y_um: float = 0.0
    drift_a_per_s: float = 0.0
    drift_turn_rad: float = 0.0
    drift_tau_s: float = 20.0
    moved_at: datetime | None = None
    preset: Preset | None = None
    shift_x_um: float = 0.0
    shift_y_um: float = 0.0
    defocus_um: float = 0.0
    focal_um: float = 0.0
    valve_open: bool = False
    valve_stuck_until: datetime | None = None
    vacuum_lost_until: datetime | None = None
    beam_off_until: datetime | None = None
    fills: int = 0
    filled_at: datetime | None = None
    pump_at: datetime | None = None
    pump_s: float = 0.0
    pumps: int = 0
    pumped_at: datetime | None = None
    flash_at: datetime | None = None
    flash_s: float = 0.0
    flashes: int = 0
    flashed_at: datetime | None = None
    emission_lost: float = 0.0
    play_x_um: float = 0.0
    play_y_um: float = 0.0
    zero_loss_at: datetime | None = None
    zero_loss_left_ev: float = 0.0
    zero_loss_jump_ev: float = 0.0
    beam_moved_until: datetime | None = None
    beam_moved: tuple[float, float] = (0.0, 0.0)
    dark_until: datetime | None = None
    share_gone_until: datetime | None = None
    box_until: datetime | None = None
    vibrates_until: datetime | None = None
    vibration_a_per_s: float = 0.0
    in_slot: dict[int, int | None] = field(default_factory=dict)
    grid: int | None = None
    last_level: str | None = None
