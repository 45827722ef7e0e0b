"""Where the published weights are, and what to say when they or the library that runs them are not there.

The weights of Kim et al. (2023) are CC BY-NC 4.0: they are read from a folder that the user names and never come with
this package.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..protocols.errors import BadInput

SQUARE_SCORER = "211215_lowmag_64x5_defaultadam_tightw_e2.torchmodel"
HOLE_UNET = "211026_unet_9x64_ep6.torchmodel"
HOLE_SCORER = "211214_medmag_128x4_avgpool_e5.torchmodel"


class PublishedOptions(BaseModel):
    """Options of `ptolemy-squares` and `ptolemy-unet`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Path = Field(description="Folder that holds the published files of weights, under their own names.")
    min_score: float = Field(0.0, ge=0, le=1, description="What scores lower is left out of the answer.")
    batch_statistics: bool = Field(
        False,
        description="Score as the published program does, each batch normalised by its own statistics: a score then "
        "depends on what else is in the image.",
    )


def published_options(finder: str, given: Mapping[str, Any]) -> PublishedOptions:
    """Check the options of one of the finders, and that there is a folder and the library to run its networks.

    Raises
    ------
    BadInput
        An option is unknown, missing or out of range, the folder is not there, or torch is not installed.
    """
    try:
        options = PublishedOptions.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(PublishedOptions.model_fields)
        raise BadInput(f"{finder}: option '{where}': {first['msg']}; options are: {known}") from error
    if find_spec("torch") is None:
        raise BadInput(f"{finder} runs networks with torch, which is not installed; pip install epicycle[networks]")
    if not options.weights.is_dir():
        raise BadInput(
            f"{finder}: there is no folder {options.weights}; name the one that holds the published files of weights"
        )
    return options
