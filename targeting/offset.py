"""Offset targeting: exposing beside the middle of a hole, where the ice has another thickness."""

import math

from numpy.random import Generator

from ..protocols.errors import BadInput

_REACH = {"carbon": 0.8, "gold": 0.5}
"""How far a random offset may go, as a share of the hole's radius (SmartScope's figures for the two films)."""


def offset_um(
    distance_um: float | None,
    radius_um: float,
    material: str,
    rng: Generator,
    *,
    beam_radius_um: float = 0.0,
    inner_um: float = 0.0,
) -> tuple[float, float]:
    """Give an offset (dx, dy) from a hole's middle in a random direction.

    A fixed distance is kept as given. Without one the place is uniform by area between ``inner_um`` and the reach: 0.8
    of the hole's radius on carbon, 0.5 on gold and anything else, and never so far that the beam leaves the hole.

    Parameters
    ----------
    distance_um
        Fixed distance, or None for a random one.
    radius_um
        Radius of the hole.
    material
        Film: ``carbon``, ``gold``, in either case.
    rng
        Where the randomness comes from; two numbers are drawn, always.
    beam_radius_um
        Radius of the beam, kept inside the hole by a random offset.
    inner_um
        Shortest random offset.

    Raises
    ------
    BadInput
        A length below 0 or not finite.
    """
    lengths = (distance_um or 0.0, radius_um, beam_radius_um, inner_um)
    if not all(math.isfinite(length) and length >= 0 for length in lengths):
        raise BadInput("Offset, hole radius and beam radius are lengths in µm, 0 or more (distance None: random).")
    angle, share = 2 * math.pi * rng.random(), rng.random()
    if distance_um is None:
        reach = max(min(_REACH.get(material.lower(), 0.5) * radius_um, radius_um - beam_radius_um), 0.0)
        inner = min(inner_um, reach)
        distance_um = math.sqrt(inner**2 + share * (reach**2 - inner**2))
    return distance_um * math.cos(angle), distance_um * math.sin(angle)
