"""The kinds of networks that `epicycle train` knows, with what their cards say of them."""

from .hole_maps import HoleMapTask
from .running import Kind

HOLES = Kind(
    name="hole-maps",
    purpose="Marks centres, discs and radii of holes in views of squares and holes brought to 12 px of radius.",
    limits="Learnt from simulated films with regular holes; real films were used to judge it, never to train it.",
    levels=("square", "hole"),
    make=HoleMapTask,
    steps=3000,
    batch=8,
)
