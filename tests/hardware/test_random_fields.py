"""Fields are the same wherever and however densely they are asked for."""

import numpy as np
import pytest

from epicycle.hardware.simulator.grid.cells import field


@pytest.mark.parametrize("length", [0.7, 2.0, 22.0])
def test_places_far_apart_have_what_they_have_among_many(length: float) -> None:
    at_x, at_y = np.linspace(-60, 90, 301), np.linspace(-20, 130, 301)
    x, y = (part.ravel() for part in np.meshgrid(at_x, at_y, indexing="ij"))
    many = field(11, "ice", x, y, length)
    few = np.array([0, 4_000, 45_150, 90_600])
    assert np.array_equal(field(11, "ice", x[few], y[few], length), many[few])
    assert all(field(11, "ice", float(x[n]), float(y[n]), length) == many[n] for n in few)


def test_a_field_has_mean_0_and_variance_1() -> None:
    pairs = np.random.default_rng(3).uniform(-1e5, 1e5, (4_000, 2, 2))
    apart = np.concatenate([field(5, "ice", x, y, 2.0) for x, y in pairs])
    assert abs(apart.mean()) < 0.05
    assert abs(apart.var() - 1) < 0.08


def test_a_field_asked_for_nowhere_is_empty() -> None:
    assert field(5, "ice", np.zeros((0, 3)), 0.0, 2.0).shape == (0, 3)
