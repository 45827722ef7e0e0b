"""The published networks as modules: their sizes, what they refuse, and scores that are a crop's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from epicycle.detectors import published_weights
from epicycle.detectors.published_holes import ptolemy_unet
from epicycle.detectors.published_networks import HoleScorer, HoleUNet, SquareScorer, logits, scores, with_weights
from epicycle.detectors.published_squares import ptolemy_squares
from epicycle.detectors.published_weights import HOLE_SCORER, HOLE_UNET, SQUARE_SCORER
from epicycle.protocols.errors import BadInput

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights"
FACTORIES = [ptolemy_squares, ptolemy_unet]


@pytest.fixture
def weights():
    if not WEIGHTS.is_dir():
        pytest.skip(f"no published weights at {WEIGHTS}")
    return WEIGHTS


@pytest.mark.parametrize(("network", "numbers"), [(SquareScorer, 218_182), (HoleUNet, 886_977), (HoleScorer, 447_749)])
def test_the_networks_have_the_published_sizes(network, numbers):
    assert sum(tensor.numel() for tensor in network().state_dict().values()) == numbers


@pytest.mark.parametrize(
    ("network", "name"), [(SquareScorer, SQUARE_SCORER), (HoleUNet, HOLE_UNET), (HoleScorer, HOLE_SCORER)]
)
def test_the_published_files_fit_and_are_ready_to_judge(weights, network, name):
    made = with_weights(network(), weights / name)
    assert not made.training
    assert not any(parameter.requires_grad for parameter in made.parameters())


def test_a_hole_s_score_is_its_own_unless_asked_otherwise(weights):
    scorer = with_weights(HoleScorer(), weights / HOLE_SCORER)
    rng = np.random.default_rng(3)
    rows, cols = np.indices((90, 90)) - 44.5
    round_hole = 2.0 * (np.hypot(rows, cols) < 30).astype(np.float32)
    crops = [round_hole * bright + rng.normal(0, 0.6, (90, 90)).astype(np.float32) for bright in (-1, 0, 0.3, 1, 2)]
    crops = [(crop - crop.mean()) / crop.std() for crop in crops]
    together = scores(scorer, crops, together=False)
    alone = [scores(scorer, [crop], together=False)[0] for crop in crops]
    assert together == pytest.approx(alone, abs=1e-6)
    assert max(alone) - min(alone) > 0.01
    by_batch = scores(scorer, crops, together=True)
    assert max(abs(a - b) for a, b in zip(by_batch, alone, strict=True)) > 0.01
    assert scores(scorer, crops, together=False) == together


def test_bands_of_the_u_net_are_seamless(weights):
    """Worked out in bands of rows or plainly, layer after layer, the answer is one."""
    unet = with_weights(HoleUNet(), weights / HOLE_UNET)
    image = np.random.default_rng(4).normal(0, 1, (384, 256)).astype(np.float32)
    with torch.inference_mode():
        seen, skips = torch.from_numpy(image)[None, None], []
        for step in unet.down_path:
            seen = step(seen if not skips else torch.nn.functional.max_pool2d(seen, 2))
            skips.append(seen)
        for step, skip in zip(unet.up_path, skips[-2::-1], strict=True):
            grown = torch.nn.functional.interpolate(seen, size=skip.shape[2:], mode="nearest")
            seen = step(torch.cat([grown, skip], dim=1))
        plain = unet.last(seen)[0, 0].numpy()
    assert logits(unet, image) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("factory", FACTORIES)
def test_what_is_missing_is_said_in_a_sentence(factory, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"'wieghts'.*weights, min_score"):
        factory({"weights": tmp_path, "wieghts": 1})
    with pytest.raises(BadInput, match="'weights': Field required"):
        factory({})
    with pytest.raises(BadInput, match=r"there is no folder .*nowhere; name the one"):
        factory({"weights": tmp_path / "nowhere"})
    with pytest.raises(BadInput, match=r"there are no weights at .*torchmodel; give the folder"):
        factory({"weights": tmp_path})
    monkeypatch.setattr(published_weights, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install epicycle\[networks\]"):
        factory({"weights": tmp_path})


def test_files_that_are_no_such_weights_are_refused(tmp_path):
    path = tmp_path / "some.torchmodel"
    path.write_bytes(b"no weights at all")
    with pytest.raises(BadInput, match=r"some.torchmodel cannot be read as a file of weights"):
        with_weights(HoleUNet(), path)
    torch.save(HoleScorer().state_dict(), path)
    with pytest.raises(BadInput, match="weights of another network: they differ in bns"):
        with_weights(HoleUNet(), path)
    other = HoleScorer().state_dict()
    other["final.bias"] = torch.zeros(2)
    torch.save(other, path)
    with pytest.raises(BadInput, match=r"they differ in final.bias and 0 more"):
        with_weights(HoleScorer(), path)
    torch.save([1, 2], path)
    with pytest.raises(BadInput, match="holds no table of tensors"):
        with_weights(HoleScorer(), path)


def test_nothing_loads_torch_before_a_finder_with_weights_is_made():
    code = "import sys, epicycle.cli, epicycle.detectors.published_holes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
