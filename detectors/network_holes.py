"""`network-holes`: finds holes with a small network trained on simulated views; without weights, as `lattice-holes`.

The network marks centres and discs at the scale that its own maps show to be right; the marks give a lattice with a
free basis; every site of it is judged by the marks and by its own evidence together (`marked_sites`). Each hole found
is said how likely it is fit to be exposed. Where torch, safetensors or weights are not there, or the network marks
nothing sure, the finder without weights answers, and its answer says so.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from . import network_weights
from .blank import beside_blank
from .film import view_of
from .holes import HoleOptions, LatticeHoles, expected_in
from .marked_sites import found_in
from .records import FIT, FoundHole, HoleDetections, HoleFinder, Site
from .regions import Mask
from .stages import stage
from .working_size import finite

if TYPE_CHECKING:
    from .hole_network import HoleMaps
    from .score_networks import OwnScorer

WEIGHTS = "hole-maps"
_LEAST_PX = 48


class NetworkOptions(HoleOptions):
    """Options of `network-holes`; it always looks a second time."""

    weights: Path | None = Field(
        None,
        description="File of weights of your own training, or the folder of `train holes` or `train hole-scores`, of "
        "which what is there is taken. None: those shipped.",
    )
    scores: bool = Field(True, description="Say of each hole how likely it is fit to be exposed, as feature `fit`.")
    score_weights: Path | None = Field(None, description="File of weights of the scorer. None: those shipped.")
    vacuum_counts: float | None = Field(
        None, gt=0, description="Counts per pixel where nothing is in the beam: scores then know how thick ice is."
    )


class NetworkHoles:
    """The finder; made by `network_holes`, or from a network at hand."""

    name = "network-holes"
    version = "1"

    def __init__(
        self,
        options: NetworkOptions,
        network: "HoleMaps | None",
        scorer: "OwnScorer | None" = None,
        note: str = "",
    ) -> None:
        self._options = options
        self._network = network
        self._scorer = scorer
        self._note = note
        self._without = LatticeHoles(
            HoleOptions.model_validate(options.model_dump(include=set(HoleOptions.model_fields)))
        )

    def find(self, image: Image) -> HoleDetections:
        """Answer every lattice site on the film with its status; never raises on a poor image."""
        if self._network is None:
            return replace(self._without.find(image), note=self._note)
        return beside_blank(image, self.look)

    def look(self, image: Image, blank: Mask | None) -> HoleDetections:
        """Find holes in an image that shows nothing where `blank` is set."""
        assert self._network is not None
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX or bad.mean() > 0.5:
            return self._without.look(image, blank)
        with stage("film") as say:
            view = view_of(pixels, True, blank)
            say("of one value" if view is None else f"{view.film.mean():.0%} of the view, looked at 1:{view.step:g}")
        if view is None:
            return self._without.look(image, blank)
        options = self._options
        expected = expected_in(view, image.pixel_size_a, options.hole_diameter_um, options.hole_pitch_um)
        found = found_in(self._network, view, expected)
        if found is None:
            return replace(
                self._without.look_twice(image, blank), note="the network marks nothing sure; found without it"
            )
        holes, lattice = found
        if self._scorer is not None:
            with stage("scores"):
                holes = scored(self._scorer, pixels, holes, options.vacuum_counts, image.nominal_counts)
        kept = tuple(hole for hole in holes if hole.score >= options.min_score)
        reason = "" if kept else f"all {len(holes)} sites score under {options.min_score:g}"
        return HoleDetections(kept, lattice, image.pixel_size_a, reason)


def network_holes(options: Mapping[str, Any]) -> HoleFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range, or the weights that are named cannot be used.
    """
    try:
        wanted = NetworkOptions.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(NetworkOptions.model_fields)
        raise BadInput(f"network-holes: option '{where}': {first['msg']}; options are: {known}") from error
    missing = network_weights.missing_libraries()
    if wanted.weights is not None:
        if missing:
            raise BadInput(
                f"network-holes: weights are named, but {missing} is not installed; pip install epicycle[networks]"
            )
        wanted = _of_folder(wanted, wanted.weights)
    path = wanted.weights or network_weights.shipped(WEIGHTS)
    if missing or (wanted.weights is None and not path.exists()):
        lacking = f"{missing} is not installed" if missing else "no weights are shipped with this installation"
        return NetworkHoles(wanted, None, note=f"{lacking}; found without a network")
    from .hole_network import ARCHITECTURE, HoleMaps

    network = HoleMaps()
    network_weights.load(network, path, ARCHITECTURE)
    return NetworkHoles(wanted, network, _scorer(wanted))


def _of_folder(wanted: NetworkOptions, where: Path) -> NetworkOptions:
    """Take marks and scores from where a training left them; those it did not make are the shipped ones."""
    from .score_networks import OWN

    if not where.is_dir():
        return wanted
    maps, scores = (where / f"{name}.safetensors" for name in (WEIGHTS, OWN))
    if not maps.exists() and not scores.exists():
        raise BadInput(
            f"network-holes: {where} holds neither {maps.name} nor {scores.name}; name the folder that "
            "`epicycle train holes` or `epicycle train hole-scores` wrote"
        )
    own = {"weights": maps if maps.exists() else None}
    if wanted.score_weights is None and scores.exists():
        own["score_weights"] = scores
    return wanted.model_copy(update=own)


def _scorer(wanted: NetworkOptions) -> "OwnScorer | None":
    from .score_networks import OWN, OwnScorer

    path = wanted.score_weights or network_weights.shipped(OWN)
    if not wanted.scores or (wanted.score_weights is None and not path.exists()):
        return None
    scorer = OwnScorer()
    network_weights.load(scorer, path, scorer.architecture)
    return scorer


def scored(
    scorer: "OwnScorer",
    pixels: NDArray[np.float32],
    holes: list[FoundHole],
    vacuum: float | None,
    nominal: float | None = None,
) -> list[FoundHole]:
    """Say of each hole, as feature ``fit``, how likely it is fit to be exposed; sites without a hole get none.

    Parameters
    ----------
    vacuum, nominal
        Counts per pixel where nothing is in the beam: as they are, and as the nominal dose gives them. Where half of
        the picture is brighter than the latter, its counts are no electrons and say nothing.
    """
    from .score_networks import chances

    own = [n for n, hole in enumerate(holes) if hole.status in (Site.HOLE, Site.PARTIAL)]
    if not own:
        return holes
    places = np.array([(holes[n].row_px, holes[n].col_px) for n in own])
    if vacuum is None and nominal is not None and np.median(pixels) > nominal:
        nominal = None
    rough = vacuum is None and nominal is not None
    crops = scorer.crops(pixels, places, holes[own[0]].radius_px, nominal if rough else vacuum, nominal=rough)
    fit = chances(scorer, crops)
    said = list(holes)
    for n, value in zip(own, fit, strict=True):
        said[n] = replace(holes[n], features={**holes[n].features, FIT: float(value)})
    return said
