"""Networks that only know real images take simulated ones for real: a small part of the benchmark, with its bars."""

import importlib.util
import itertools
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT.parent / "shared" / "data" / "weights"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no published weights at {WEIGHTS}"),
]


@pytest.fixture(scope="module")
def judges():
    spec = importlib.util.spec_from_file_location("published_judges", ROOT / "benchmarks" / "published_judges.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))
    del sys.modules[spec.name]


@pytest.mark.parametrize("number", [0, 1], ids=["carbon", "gold"])
def test_the_published_pipeline_finds_the_holes_of_simulated_views(judges, number):
    unet = judges.with_weights(judges.HoleUNet(), WEIGHTS / judges.HOLE_UNET)
    view = next(itertools.islice(judges.simulated_views(2, seed=1), number, None))
    row = judges.judged_holes(unet, view, None)
    assert row.true > 15
    assert row.found >= judges.HOLES_BAR * row.true
    assert row.marked >= judges.HOLES_BAR * row.true
    assert row.mark_error_px <= judges.NEAR_PX


def test_the_published_scorer_prefers_intact_squares_of_a_simulated_tile(judges):
    finder = judges.ptolemy_squares({"weights": WEIGHTS})
    tile = next(iter(judges.tiles(1, seed=1)))
    scores = judges.scores_by_truth(tile, finder.find(judges.Image(tile.pixels)))
    worse = scores["torn"] + scores["empty"] + scores["cut"]
    assert len(scores["intact"]) > 15
    assert len(worse) > 15
    # The bar of 0.9 is for many tiles; one alone has a few squares of each kind.
    assert judges.area_under(scores["intact"], worse) >= 0.85
