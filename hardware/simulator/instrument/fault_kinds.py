"""Every fault by name: what happens, what an operator would see of it, which calls it can strike, what it is drawn for.

The rows are those that overnight screening meets: loader, grids swapped by a person, fills and pumps, vibration, valve
and vacuum, beam, camera, disk, connection, boxes that wait for a person. A process of ours that dies is none of them:
the tests kill the night at every step instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "load-fails",
    "loader-jam",
    "grid-swapped",
    "wrong-slot-reading",
    "fill-during-shot",
    "pump-cycle",
    "vibration",
    "drift-high",
    "valve-closes",
    "vacuum-lost",
    "beam-off",
    "beam-moved",
    "flash-needed",
    "zero-loss-lost",
    "dark-images",
    "camera-timeout",
    "camera-hang",
    "disk-full",
    "share-gone",
    "connection-lost",
    "call-hangs",
    "message-box",
    "driver-restart",
    "garbage",
    "focus-fails",
    "stage-stuck",
    "stage-overshoot",
]

METHODS = (
    "inventory",
    "loaded",
    "load",
    "unload",
    "position",
    "go_to",
    "use",
    "shift_image",
    "set_defocus",
    "refine_zero_loss",
    "eucentric_height",
    "autofocus",
    "settle",
    "acquire",
    "stored",
    "status",
    "open_valve",
    "refill",
    "park",
)
"""The calls that can be struck."""


@dataclass(frozen=True, slots=True)
class Nature:
    """What one kind of fault is.

    Attributes
    ----------
    what
        What happens, in truth.
    seen
        What the one who drives the microscope sees of it.
    calls
        The methods it can strike; none named means any.
    lasts
        Whether it goes on for `lasts_h`.
    drawn
        Whether a night with faults drawn from the seed may have it.
    """

    what: str
    seen: str
    calls: tuple[str, ...] = ()
    lasts: bool = False
    drawn: bool = False


NATURES: Mapping[Kind, Nature] = {
    "load-fails": Nature("the cartridge does not arrive; the stage stays empty", "`LoadFailed`", ("load",), drawn=True),
    "loader-jam": Nature(
        "the loader is stuck until a person comes; the grid on the stage stays there",
        "`LoaderJammed` at this and every later exchange, `loader_ok` false",
        ("load", "unload"),
    ),
    "grid-swapped": Nature(
        "somebody exchanges the grids of two slots of the cassette",
        "nothing, until a reloaded grid does not fit its atlas",
    ),
    "wrong-slot-reading": Nature(
        "the loader names another slot than the one whose grid is on the stage",
        "a wrong answer of `loaded`; `LoadFailed` where two readings are compared",
        ("loaded",),
        drawn=True,
    ),
    "fill-during-shot": Nature(
        "a dewar fill begins as the shutter opens", "a blurred image, `filling` true afterwards", ("acquire",)
    ),
    "pump-cycle": Nature("the buffer's pump starts", "`pumping` true, drift high, blurred images", lasts=True),
    "vibration": Nature("something shakes the microscope", "drift high, blurred images", lasts=True, drawn=True),
    "drift-high": Nature(
        "the holder drifts without coming to rest", "drift that does not settle", ("settle",), drawn=True
    ),
    "valve-closes": Nature(
        "the column valve closes and cannot be opened for a while",
        "`valve_open` false, black images, `ValveClosed` on opening",
        lasts=True,
        drawn=True,
    ),
    "vacuum-lost": Nature(
        "the vacuum is lost and the valve closes",
        "vacuum red, `valve_open` false, black images, `VacuumLost` on opening",
        lasts=True,
    ),
    "beam-off": Nature("the gun gives no beam", "`beam_on` false, black images", lasts=True, drawn=True),
    "beam-moved": Nature("the beam stands beside the axis", "shadowed, dim images", lasts=True, drawn=True),
    "flash-needed": Nature(
        "the emitter loses most of its current until it is flashed, at the latest when the time is over",
        "`emission` low, dim images",
        lasts=True,
    ),
    "zero-loss-lost": Nature(
        "the zero-loss peak jumps out of the slit; without a filter nothing happens",
        "black images with the slit in, until the peak is centred again",
    ),
    "dark-images": Nature(
        "the beam blanker sticks, though valve and gun report that all is well", "black images", lasts=True
    ),
    "camera-timeout": Nature(
        "the specimen is exposed and no image comes", "`CameraTimeout`, which may have run", ("acquire",), drawn=True
    ),
    "camera-hang": Nature(
        "the specimen is exposed and the camera never answers", "`Stuck` at the deadline, no file", ("acquire",)
    ),
    "disk-full": Nature("the images' disk is full; nothing is exposed", "`DiskFull`", ("acquire",)),
    "share-gone": Nature(
        "the images' folder cannot be written to for a while; nothing is exposed",
        "`DiskFull`, no free disk in the status",
        lasts=True,
    ),
    "connection-lost": Nature(
        "the connection drops before or after the act takes effect", "`ConnectionLost`, which may have run", drawn=True
    ),
    "call-hangs": Nature("the call hangs before or after the act takes effect", "`Stuck` at the deadline", drawn=True),
    "message-box": Nature(
        "a box waits for a person; until it is closed no call is answered",
        "`Stuck`, then no answer from the restarted driver either, until the box is gone",
        lasts=True,
    ),
    "driver-restart": Nature(
        "the driver's program dies and comes back with optics and image shift at zero", "`ConnectionLost`", drawn=True
    ),
    "garbage": Nature(
        "the act is done and the answer cannot be true",
        "`Garbage`: a position, count or defocus that is no number",
        ("go_to", "position", "acquire", "autofocus", "settle", "eucentric_height"),
        drawn=True,
    ),
    "focus-fails": Nature(
        "the procedure finds no signal", "`FocusFailed`", ("autofocus", "eucentric_height"), drawn=True
    ),
    "stage-stuck": Nature(
        "the stage does not move", "a position that is not the one asked for", ("go_to",), drawn=True
    ),
    "stage-overshoot": Nature(
        "the stage stops too late", "a position some way beyond the one asked for", ("go_to",), drawn=True
    ),
}
"""All kinds."""
