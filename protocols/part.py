"""What all parts of a protocol have in common, and the choice of a plug-in."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

PLUGIN_NAME = r"^[A-Za-z][A-Za-z0-9_.-]*$"


def impossible(field: str, sentence: str) -> PydanticCustomError:
    """Make the error for values that are right one by one and cannot go together.

    Parameters
    ----------
    field
        Dotted path, from the model that raises, of the field to change; readers point to its line.
    sentence
        What cannot be, and what to do instead.
    """
    return PydanticCustomError("impossible", "{sentence}", {"sentence": sentence, "field": field})


class Part(BaseModel):
    """A frozen part of a protocol: unknown keys, infinities and not-a-number are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PluginChoice(Part):
    """A plug-in by its name; every further key is an option of the plug-in, which checks it itself."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue]

    use: str = Field(
        pattern=PLUGIN_NAME, examples=["first-come"], description="Name of the plug-in, as its package registers it."
    )

    def options(self) -> dict[str, Any]:
        """Give the plug-in's own options, without its name."""
        return dict(self.__pydantic_extra__ or {})
