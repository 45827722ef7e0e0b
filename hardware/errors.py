"""Failures of a microscope, as one tree that decides who pays.

``Transient``: try again. ``TargetFault``: this target is lost. ``GridFault``: leave this grid. ``LoaderFault``: a slot
or the loader. ``ScopeFault``: the microscope itself. Expected ones are data for the recovery ladder; anything else
parks.
"""

from ..protocols.errors import EpicycleError


class HardwareError(EpicycleError):
    """A failure of the microscope. ``may_have_run`` says that the command may have taken effect all the same."""

    may_have_run: bool = False


class Transient(HardwareError):
    """May well work the next time."""


class ConnectionLost(Transient):
    """The link to the instrument dropped."""

    may_have_run = True


class CameraTimeout(Transient):
    """The camera gave no image in time."""

    may_have_run = True


class Refilling(Transient):
    """A dewar fill or a pump cycle is under way; wait for its end."""


class Garbage(Transient):
    """The instrument answered something that cannot be true."""

    may_have_run = True


class Stuck(Transient):
    """A call gave no answer by its deadline; its driver was killed and restarted."""

    may_have_run = True


class TargetFault(HardwareError):
    """One target cannot be had; others can."""


class StageLimit(TargetFault):
    """The stage cannot go there."""


class FocusFailed(TargetFault):
    """Neither autofocus nor eucentric height came to an answer that can be trusted."""


class DriftTooHigh(TargetFault):
    """The specimen kept drifting above the limit until the time-out."""


class NotRecorded(TargetFault):
    """A replayed session holds no image of this place: nobody took one."""


class GridFault(HardwareError):
    """One grid cannot be used."""


class LoaderFault(HardwareError):
    """The loader did not do what was asked."""


class LoadFailed(LoaderFault):
    """The grid of this slot did not arrive on the stage."""


class LoaderJammed(LoaderFault):
    """The loader itself is stuck: no more exchanges tonight without a person."""


class ScopeFault(HardwareError):
    """The microscope cannot go on as it is."""


class ValveClosed(ScopeFault):
    """The column valve is closed although nobody asked."""


class VacuumLost(ScopeFault):
    """The vacuum is not green."""


class BeamLost(ScopeFault):
    """No beam reaches the camera."""


class DiskFull(ScopeFault):
    """The images' disk has no room left."""
