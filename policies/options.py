"""A policy's options, checked when it is made."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..protocols.errors import BadInput


class PolicyOptions(BaseModel):
    """Base of every policy's options: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IceGate(PolicyOptions):
    """Options of policies that look at the ice of a hole."""

    ice_min_nm: float | None = Field(
        default=None, ge=0, description="Thinnest ice in nm of a hole worth exposing; null means no limit."
    )
    ice_max_nm: float | None = Field(
        default=None, ge=0, description="Thickest ice in nm of a hole worth exposing; null means no limit."
    )


OptionsT = TypeVar("OptionsT", bound=PolicyOptions)


def read_options(model: type[OptionsT], options: Mapping[str, Any], policy: str) -> OptionsT:
    """Check the options of a policy.

    Raises
    ------
    BadInput
        An option that the policy does not know (the sentence lists those it does), or a value it cannot take.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(_sentence(problem, model) for problem in error.errors())
        raise BadInput(f"Policy {policy}: {problems}.") from None


def _sentence(problem: Mapping[str, Any], model: type[PolicyOptions]) -> str:
    place = ".".join(map(str, problem["loc"])) or "the options"
    if problem["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "it has none"
        return f"no option named {place!r} (known: {known})"
    meaning = model.model_fields[place].description if place in model.model_fields else None
    said = f"{place} is {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    return f"{said} ({meaning.rstrip('.')})" if meaning else said
