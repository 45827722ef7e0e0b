"""Micrographs and movies for RELION 3.1 and later: STAR files with one optics group for each beam-shift position.

A beam shifted far from the axis is tilted, and the tilt's coma must be refined for each shift by itself; so exposures
are grouped by where the shift had put them (Zivanov et al., IUCrJ 7, 253, 2020, section 2.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fclusterdata

from ...files.atomic import write_bytes
from ...protocols.errors import BadInput
from ..querying import Reader
from ..summary import night_status
from ..views import ExposureView, ImageView, exposures_of

ALIKE_UM = 0.5
"""Shifts of one group differ by no more than this from each other."""

Value = str | int | float


@dataclass(frozen=True, slots=True)
class Shot:
    """An exposure with its file and pixel size."""

    exposure: ExposureView
    image: ImageView
    pixel_size_a: float


def write_star(reader: Reader, folder: Path) -> list[Path]:
    """Write ``movies.star`` (exposures kept as frames) and ``micrographs.star`` (single images), where there are any.

    Names in them are relative to the folder of the record: run RELION there, or link it.

    Raises
    ------
    BadInput
        The record holds no exposure with an image.
    """
    shots = _shots(reader)
    if not shots:
        raise BadInput("the record holds no exposure with an image; there is nothing to write for RELION")
    folder.mkdir(parents=True, exist_ok=True)
    scope = night_status(reader).microscope.get("capabilities", {})
    written = []
    for kind, several in (("movies", True), ("micrographs", False)):
        chosen = [shot for shot in shots if (shot.image.frames > 1) is several]
        if chosen:
            path = folder / f"{kind}.star"
            write_bytes(path, _star(kind, chosen, scope).encode())
            written.append(path)
    return written


def optics_groups(shifts_um: NDArray[np.float64], pixel_sizes_a: Sequence[float]) -> list[int]:
    """Give each shot the number of its optics group, from 1, in the order met.

    Parameters
    ----------
    shifts_um
        Beam-image shifts, (n, 2).
    pixel_sizes_a
        Shots of different pixel size never share a group.
    """
    if len(shifts_um) == 0:
        return []
    together = np.ones(1, int)
    if len(shifts_um) > 1:
        together = fclusterdata(shifts_um, ALIKE_UM, criterion="distance", method="complete")
    number: dict[tuple[int, float], int] = {}
    return [
        number.setdefault((int(group), size), len(number) + 1)
        for group, size in zip(together, pixel_sizes_a, strict=True)
    ]


def _shots(reader: Reader) -> list[Shot]:
    found = []
    for exposure in exposures_of(reader):
        image = next((image for image in exposure.images if image.kind != "picture"), None)
        if exposure.status == "done" and image is not None and image.pixel_size_a:
            found.append(Shot(exposure, image, image.pixel_size_a))
    return found


def _star(kind: str, shots: Sequence[Shot], scope: Mapping[str, Any]) -> str:
    shifts = np.array([(shot.exposure.shift_x_um, shot.exposure.shift_y_um) for shot in shots])
    groups = optics_groups(shifts, [shot.pixel_size_a for shot in shots])
    optics: list[dict[str, Value]] = [
        {
            "rlnOpticsGroupName": f"shift{group:03d}",
            "rlnOpticsGroup": group,
            "rlnMicrographOriginalPixelSize": shots[groups.index(group)].pixel_size_a,
            "rlnVoltage": float(scope.get("voltage_kv", 300.0)),
            "rlnSphericalAberration": float(scope.get("cs_mm", 2.7)),
            "rlnAmplitudeContrast": float(scope.get("amplitude_contrast", 0.07)),
        }
        for group in sorted(set(groups))
    ]
    name = "rlnMicrographMovieName" if kind == "movies" else "rlnMicrographName"
    return _loop("optics", optics) + _loop(
        kind, [{name: shot.image.path, "rlnOpticsGroup": group} for shot, group in zip(shots, groups, strict=True)]
    )


def _loop(block: str, rows: Sequence[Mapping[str, Value]]) -> str:
    head = [f"_{name} #{number}" for number, name in enumerate(rows[0], 1)]
    body = ["  ".join(_quoted(value) for value in row.values()) for row in rows]
    return "\n".join(["", f"data_{block}", "", "loop_", *head, *body, "", ""])


def _quoted(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    return f'"{text}"' if not text or any(letter.isspace() for letter in text) else text
