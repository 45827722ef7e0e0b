"""The kinds of networks for holes that `epicycle train` knows, with what their cards say of them."""

from ..score_networks import AVERAGE_POOL, OWN, PADDED
from .hole_maps import HoleMapTask
from .hole_quality import of_name, shows_both
from .running import Kind

_SIMULATED = "Learnt from simulated films with regular holes; real films were used to judge it, never to train it."
_CHANCE = "Gives the chance that a hole itself is fit to be exposed: ice in it, not too thick, nothing spoiling it."

_INSTRUMENTS = (("demo-2k", 1.0), ("screening-200kv", 0.5), ("collection-300kv", 0.5))
"""How much ice holds back differs between voltages, and with a slit; and what is fit differs from grid to grid."""

HOLES = Kind(
    name="hole-maps",
    purpose="Marks centres, discs and radii of holes in views of squares and holes brought to 12 px of radius.",
    limits=_SIMULATED,
    levels=("square", "hole"),
    make=HoleMapTask,
    steps=1000,
    batch=8,
)

HOLE_SCORES = {
    name: Kind(
        name=name,
        purpose=_CHANCE,
        limits=f"{_SIMULATED} What the grid's sample is worth it cannot see.",
        levels=("square", "hole"),
        make=of_name(name),
        steps=steps,
        batch=batch,
        learning_rate=rate,
        instruments=_INSTRUMENTS,
        shows_enough=shows_both,
    )
    for name, steps, batch, rate in ((OWN, 2500, 256, 3e-3), (AVERAGE_POOL, 1500, 16, 1e-3), (PADDED, 1500, 16, 1e-3))
}
