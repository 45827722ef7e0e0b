"""When to do what the microscope needs now and then (zero loss, dewars): before a long move, which costs rest anyway.

What comes due between two long moves is done before the nearer of them; what has waited too long is done at once.
"""

from collections.abc import Sequence
from statistics import median

HARD = 1.25
"""Past its interval times this, upkeep waits for no move any more."""


def expected_s(lasted_s: Sequence[float]) -> float | None:
    """Give how long the next stretch between two long moves will take, from earlier ones; None without any."""
    return median(lasted_s) if lasted_s else None


def due_by_interval(
    since_s: float | None, interval_s: float, *, before_long_move: bool, next_long_move_s: float | None
) -> bool:
    """Say whether upkeep that is asked for once in an interval is to be done now.

    Parameters
    ----------
    since_s
        Time since it was done last; None for never.
    before_long_move
        Whether the stage is about to go far.
    next_long_move_s
        How long until it goes far again, None if nobody can say.
    """
    if since_s is None:
        return True
    if not before_long_move:
        return since_s >= HARD * interval_s
    return since_s + (next_long_move_s or 0.0) / 2 >= interval_s


def due_before_it_begins(left_s: float | None, next_long_move_s: float | None) -> bool:
    """Say whether what begins by itself in ``left_s`` would fall between this long move and the next."""
    return left_s is not None and next_long_move_s is not None and left_s < next_long_move_s
