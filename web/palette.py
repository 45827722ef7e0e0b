"""Colours and line kinds of everything drawn over pictures: told apart without colour by dashes or shape.

The pages' style sheet and the pictures written as files both take them from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line over a picture: colour, dashes in its own pixels (none: solid) and width."""

    colour: str
    dashes: tuple[float, ...] = ()
    width: float = 1.7

    @property
    def dash_array(self) -> str:
        """The dashes as SVG writes them."""
        return " ".join(f"{length:g}" for length in self.dashes)


SQUARES: Mapping[str, Stroke] = {
    "good": Stroke("#3ce8a6"),
    "small_or_thick": Stroke("#62bcff", (6, 3)),
    "contaminated": Stroke("#ffb81f", (1.5, 2.5)),
    "cracked": Stroke("#ff7d70", (8, 2.5, 1.5, 2.5)),
    "partial": Stroke("#d5dbe1", (2, 5)),
    "broken_or_dry": Stroke("#ec9bff", (3.5, 3.5)),
    "other": Stroke("#ffffff"),
}
"""Outlines of squares, by class."""

HOLES: Mapping[str, Stroke] = {
    "hole": Stroke("#62bcff", (), 1.2),
    "partial": Stroke("#d5dbe1", (2, 3), 1.2),
    "covered": Stroke("#ffb81f", (1.5, 2.5), 1.2),
    "missing": Stroke("#9aa4ae", (1, 4), 1.0),
    "chosen": Stroke("#ffe34d", (), 1.9),
    "exposed": Stroke("#ffffff", (), 1.5),
    "failed": Stroke("#ff7d70", (4, 2)),
    "lost": Stroke("#ff7d70", (4, 2)),
}
"""Rings of holes, by what became of them."""

MARKS: Mapping[str, str] = {"usable": "#04d18b", "poor": "#ff7d52", "open": "#cfd8e0", "lost": "#ff5b78"}
"""Exposures by verdict; discs where usable or not judged, diamonds where not."""

RESULTS: Mapping[str, Stroke] = {
    "usable": Stroke("#3ce8a6", (), 2.4),
    "poor": Stroke("#ff7d52", (3, 2), 2.4),
    "none": Stroke("#9aa4ae", (1, 3), 1.0),
}
"""Outlines of squares, by what came of the exposures in them."""

SCALE: tuple[str, ...] = ("#5b2a86", "#3b6fb6", "#2a9d8f", "#8fc93a", "#fde725")
"""Worst to best: lightness rises all the way, so the order is seen without colour too."""

HALO, TAG, BAR = "#000000", "#ffffff", "#ffffff"
"""The dark halo under every line, letters over pictures, the scale bar."""
