import numpy as np
import pytest

from epicycle.detectors.lattice import bases, fit_lattice, kind_of, recurring_steps, reduced, sites_within
from epicycle.detectors.records import LatticeKind

BASES = {
    "square": np.array([[30.0, 8.0], [-8.0, 30.0]]),
    "rectangular": np.array([[30.0, 0.0], [0.0, 40.0]]),
    "hexagonal": np.array([[30.0, 0.0], [15.0, 15 * np.sqrt(3)]]),
    "oblique": np.array([[30.0, 4.0], [10.0, 22.0]]),
}


def scattered(rng, basis, wobble=0.6, missing=0.25, wrong=40, shape=(500, 500)):
    _, places = sites_within(np.array([7.0, 11.0]), basis, shape)
    places = places[rng.random(len(places)) > missing]
    places = places + rng.normal(0, wobble, places.shape)
    return np.concatenate((places, rng.uniform(0, 500, (wrong, 2))))


@pytest.mark.parametrize("name", BASES)
def test_basis_is_found_among_wrong_points_and_gaps(name):
    points = scattered(np.random.default_rng(5), BASES[name])
    steps, support = recurring_steps(points, np.ones(len(points)), 12, 90, 3.0)
    fits = [fit for fit in (fit_lattice(points, basis) for basis in bases(steps, support)) if fit is not None]
    best = max(fits, key=lambda fit: len(fit.members))
    change = best.basis @ np.linalg.inv(BASES[name])
    assert np.abs(change - np.rint(change)).max() < 0.01
    assert abs(np.linalg.det(np.rint(change))) == pytest.approx(1)
    assert best.residual < 1.5


@pytest.mark.parametrize("name", BASES)
def test_kind_is_told_from_the_reduced_basis(name):
    sheared = np.array([[2, 1], [1, 1]]) @ BASES[name]
    assert kind_of(reduced(sheared)) is LatticeKind(name)


def test_reduction_keeps_the_lattice():
    basis = BASES["oblique"]
    change = reduced(np.array([[5, 3], [3, 2]]) @ basis) @ np.linalg.inv(basis)
    assert np.allclose(change, np.rint(change), atol=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1)


def test_too_few_points_give_no_lattice():
    assert fit_lattice(np.array([[0.0, 0.0], [30.0, 0.0]]), BASES["rectangular"]) is None


def test_points_on_a_line_give_no_lattice():
    line = np.stack([np.arange(10) * 30.0, np.zeros(10)], axis=1)
    assert fit_lattice(line, BASES["rectangular"]) is None


def test_sites_fill_the_image_and_nothing_else():
    _, places = sites_within(np.array([0.0, 0.0]), np.array([[10.0, 0.0], [0.0, 10.0]]), (41, 31))
    assert len(places) == 5 * 4
    assert (places >= 0).all()
