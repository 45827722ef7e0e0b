"""The verdict on an exposure of a recorded session, of which only its CTF numbers are kept."""

import math
from collections.abc import Mapping
from typing import Any

from .records import CtfFit, MicrographVerdict

FAILED_FROM_A = 1000.0
"""Recorders write an absurd resolution (100000 Å in Appion) where the fit failed."""


def judge_recorded(details: Mapping[str, Any]) -> MicrographVerdict:
    """Give what the session's own fit said.

    Parameters
    ----------
    details
        ``ctf_max_res`` in Å and ``ctf_confidence``, from the recorded exposure; both may be missing or None.

    Returns
    -------
    MicrographVerdict
        Defocus and astigmatism are NaN, which the recording does not keep; no motion, no ice, no counts (NaN) and no
        pictures. Flag ``no-fit`` when the recorded fit failed or is missing: the CTF is then None.
    """
    resolution_a = _number(details.get("ctf_max_res"))
    confidence = _number(details.get("ctf_confidence"))
    failed = resolution_a is None or not 0 < resolution_a < FAILED_FROM_A
    fit = None
    if resolution_a is not None and not failed:
        within = 0.0 if confidence is None else min(1.0, max(0.0, confidence))
        fit = CtfFit(math.nan, math.nan, math.nan, resolution_a, within)
    flags = ("no-fit",) if fit is None else ()
    return MicrographVerdict(None, fit, math.nan, None, flags, b"", b"")


def _number(value: Any) -> float | None:
    """Read a finite number or nothing."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
