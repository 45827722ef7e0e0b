"""From holes in the order of a policy to groups of holes in that order.

Choosing filters once, on holes; grouping comes after; the groups to visit are then read off the policy's own order, so
that no hole that passed is ever judged a second time for standing at a group's centre.
"""

from collections.abc import Sequence


def groups_in_order(chosen: Sequence[int], groups: Sequence[Sequence[int]], want: int) -> tuple[int, ...]:
    """Give which groups to visit: that of the first chosen hole, then that of the next one not in it, and so on.

    Parameters
    ----------
    chosen
        Holes by id, best first, as a policy chose them when it was asked for all.
    groups
        For each group the ids of its holes.
    want
        How many groups; 0 means all.

    Returns
    -------
    tuple of int
        Places in ``groups``, in the order of the policy.
    """
    home = {hole: place for place, members in enumerate(groups) for hole in members}
    order = tuple(dict.fromkeys(home[hole] for hole in chosen if hole in home))
    return order[:want] if want else order
