"""A protocol for the pixel-free simulated microscope: the same night, with eyes for sightings in place of pictures."""

from typing import Any

from .errors import BadInput
from .screening import ScreeningProtocol

SIMULATOR = "sim"

WITHOUT_LATTICE = ("regular-pattern",)
"""Finders that lay targets on films without a lattice: they need no more than to see where film is."""

FILM_PICTURE_PX = 96
"""Shorter side of the pictures of squares and holes that is enough for them."""


def without_pixels(plan: ScreeningProtocol) -> ScreeningProtocol:
    """Give this protocol with a microscope that renders no pictures, and finders and judge that need none.

    Nothing else changes: optics, choices, passes, thresholds and times are those of the protocol. A finder for films
    without a lattice stays, and is given small pictures to look at.

    Raises
    ------
    BadInput
        Its microscope is not the simulated one.
    """
    if plan.microscope.use != SIMULATOR:
        raise BadInput(
            f"only the simulated microscope does without pixels, not {plan.microscope.use}; set microscope.use to "
            f"{SIMULATOR}, or leave the fidelity at pixels"
        )
    changes: dict[str, Any] = plan.model_dump(mode="json")
    options = {**changes["microscope"]["options"], "fidelity": "pixel-free"}
    if plan.holes.finder.use in WITHOUT_LATTICE:
        options.setdefault("film_picture_px", FILM_PICTURE_PX)
    else:
        changes["holes"]["finder"] = {"use": "sighted-holes"}
    changes["microscope"]["options"] = options
    changes["squares"]["finder"] = {"use": "sighted-squares"}
    changes["analysis"]["judge"] = {"use": "sighted"}
    return ScreeningProtocol.model_validate(changes)
