"""What a JSON column may be given: µ and Å as they are, numpy's numbers, and no NaN, which no JSON has."""

import json
import math
from collections.abc import Mapping

import numpy as np


def as_json(value: object) -> str:
    """Write a JSON column: µ and Å as they are, numpy's numbers as plain ones, NaN and infinity as null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return _without_nan(value.tolist())
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot stand in a JSON column")


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return value
