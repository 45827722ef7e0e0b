"""What calibrations change: the image shift that is commanded for a place, and where pictures lie.

Every place is taken in one frame, that of pictures at hole level, on which groups are re-centred. Pictures of other
levels are moved into it by the offsets between levels, and shifts at those levels are commanded so as to reach it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..hardware.records import Acquired, Affine, ImageShift
from ..protocols.preset import Level
from .calibration import UNIT, Calibrations, Matrix

REFERENCE: Level = "hole"

COMMANDED = "commanded_shift_um"
"""Under this name an image's details keep the shift that was commanded, where another is done by it."""


@dataclass(frozen=True, slots=True)
class Aiming:
    """How shifts and pictures are corrected; as it stands, not at all.

    Attributes
    ----------
    matrix
        Specimen µm per commanded µm of image shift.
    beside_um
        For each level by how much a place lies, on hole-level pictures, beside where that level's pictures show it.
    """

    matrix: Matrix = UNIT
    beside_um: Mapping[Level, tuple[float, float]] = field(default_factory=dict)

    def commanded(self, level: Level | None, wanted: ImageShift) -> ImageShift:
        """Give the shift to command so that a level sees what lies so far from the stage's place."""
        beside = (0.0, 0.0) if level is None else self.beside_um.get(level, (0.0, 0.0))
        if self.matrix == UNIT and beside == (0.0, 0.0):
            return wanted
        x, y = np.linalg.solve(np.asarray(self.matrix), [wanted.x_um - beside[0], wanted.y_um - beside[1]])
        return ImageShift(float(x), float(y))

    def placed(self, acquired: Acquired) -> Acquired:
        """Give an image with its frame where it belongs, and with the shift that was done instead of commanded."""
        beside = next((by for level, by in self.beside_um.items() if level == acquired.preset), (0.0, 0.0))
        said = acquired.image_shift
        shifted = (said.x_um, said.y_um) != (0.0, 0.0)
        if not shifted and beside == (0.0, 0.0):
            return acquired
        x, y = np.asarray(self.matrix) @ [said.x_um, said.y_um] + beside
        (a, b, c), (d, e, f) = acquired.image_to_stage
        frame: Affine = ((a, b, c + float(x) - said.x_um), (d, e, f + float(y) - said.y_um))
        if not shifted or (x, y) == (said.x_um, said.y_um):
            return replace(acquired, image_to_stage=frame)
        details = {**acquired.details, COMMANDED: [said.x_um, said.y_um]}
        return replace(acquired, image_to_stage=frame, image_shift=ImageShift(float(x), float(y)), details=details)


AS_IT_IS = Aiming()


def aiming_by(known: Calibrations) -> Aiming:
    """Give what calibrations change; levels that no chain of offsets joins to the hole level stay as they are."""
    beside: dict[Level, tuple[float, float]] = {REFERENCE: (0.0, 0.0)}
    for _ in known.offsets:
        for one in known.offsets:
            latest = known.offset(one.coarse, one.fine) or one
            if one.fine in beside and one.coarse not in beside:
                x, y = beside[one.fine]
                beside[one.coarse] = (x + latest.x_um, y + latest.y_um)
            elif one.coarse in beside and one.fine not in beside:
                x, y = beside[one.coarse]
                beside[one.fine] = (x - latest.x_um, y - latest.y_um)
    return Aiming(UNIT if known.image_shift is None else known.image_shift.matrix, beside)
