"""A protocol for the pixel-free simulated microscope: the same night, with eyes for sightings in place of pictures."""

from typing import Any

from .errors import BadInput
from .screening import ScreeningProtocol

SIMULATOR = "sim"

WITHOUT_LATTICE = ("regular-pattern",)
"""Finders that lay targets on films without a lattice."""


def without_pixels(plan: ScreeningProtocol) -> ScreeningProtocol:
    """Give this protocol with a microscope that renders no pictures, and finders and judge that need none.

    Nothing else changes: optics, choices, passes, thresholds and times are those of the protocol.

    Raises
    ------
    BadInput
        Its microscope is not the simulated one, or its films have no lattice.
    """
    if plan.microscope.use != SIMULATOR:
        raise BadInput(
            f"only the simulated microscope does without pixels, not {plan.microscope.use}; set microscope.use to "
            f"{SIMULATOR}, or leave the fidelity at pixels"
        )
    if plan.holes.finder.use in WITHOUT_LATTICE:
        raise BadInput(
            f"the finder {plan.holes.finder.use} is for films without a lattice (lacey, continuous), and no error "
            "models tell what is seen on them; run this protocol with pixels"
        )
    changes: dict[str, Any] = plan.model_dump(mode="json")
    changes["microscope"]["options"] = {**changes["microscope"]["options"], "fidelity": "pixel-free"}
    changes["squares"]["finder"] = {"use": "sighted-squares"}
    changes["holes"]["finder"] = {"use": "sighted-holes"}
    changes["analysis"]["judge"] = {"use": "sighted"}
    return ScreeningProtocol.model_validate(changes)
