import pytest

from epicycle.detectors.contract import HoleFinderContract, SquareFinderContract
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.squares import mixture_squares
from epicycle.protocols.errors import BadInput


class TestMixtureSquares(SquareFinderContract):
    def finder(self):
        return mixture_squares({})


class TestLatticeHoles(HoleFinderContract):
    def finder(self):
        return lattice_holes({})


@pytest.mark.parametrize("factory", [mixture_squares, lattice_holes])
def test_an_unknown_option_is_named_with_those_there_are(factory):
    with pytest.raises(BadInput, match=r"'treshold'.*min_score"):
        factory({"treshold": 3})


def test_an_option_out_of_range_is_refused():
    with pytest.raises(BadInput, match="hole_diameter_um"):
        lattice_holes({"hole_diameter_um": -1})
