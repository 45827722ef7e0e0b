"""Weights that are missing, cut, of another network, or that carry code: a sentence, and nothing of them is run."""

import os
import pickle
import re
import zipfile

import pytest
import torch

from epicycle.detectors import network_weights
from epicycle.detectors.published_holes import ptolemy_unet
from epicycle.detectors.published_networks import HoleScorer, HoleUNet, SquareScorer, with_weights
from epicycle.detectors.published_squares import ptolemy_squares
from epicycle.detectors.published_weights import HOLE_SCORER, HOLE_UNET, SQUARE_SCORER
from epicycle.protocols.errors import BadInput

NETWORKS = [SquareScorer, HoleUNet, HoleScorer]


class Trap:
    """Unpickled by a careless reader it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def refused(load, path, says):
    with pytest.raises(BadInput) as caught:
        load(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert re.search(says, said), said


@pytest.mark.parametrize("network", NETWORKS)
def test_missing_cut_and_other_weights(tmp_path, network):
    def load(path):
        return with_weights(network(), path)

    path = tmp_path / "some.torchmodel"
    refused(load, path, "there are no weights at")
    torch.save(network().state_dict(), path)
    load(path)
    raw = path.read_bytes()
    for part in (0.0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(raw[: int(part * len(raw))])
        refused(load, path, "cannot be read")
    torch.save(NETWORKS[(NETWORKS.index(network) + 1) % 3]().state_dict(), path)
    refused(load, path, "weights of another network")
    refused(load, tmp_path, "cannot be read")


def test_weights_that_are_no_numbers(tmp_path):
    path = tmp_path / "some.torchmodel"
    state = HoleScorer().state_dict()
    state["final.bias"][0] = float("nan")
    torch.save(state, path)
    refused(lambda p: with_weights(HoleScorer(), p), path, "no numbers")
    torch.save(dict.fromkeys(state, "words"), path)
    refused(lambda p: with_weights(HoleScorer(), p), path, "no table of tensors")


@pytest.mark.parametrize("how", ["torch", "pickle", "module", "inside"])
def test_code_in_a_file_of_weights_is_never_run(tmp_path, how):
    path, trap = tmp_path / "some.torchmodel", tmp_path / "sprung"
    state = {**HoleScorer().state_dict(), "extra": Trap(trap)}
    if how == "torch":
        torch.save(state, path)
    elif how == "pickle":
        path.write_bytes(pickle.dumps(Trap(trap)))
    elif how == "module":
        torch.save(HoleScorer(), path)
    else:
        torch.save(HoleScorer().state_dict(), path)
        with zipfile.ZipFile(path) as good:
            parts = {name: good.read(name) for name in good.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bad:
            for name, content in parts.items():
                bad.writestr(name, pickle.dumps(Trap(trap)) if name.endswith("data.pkl") else content)
    refused(lambda p: with_weights(HoleScorer(), p), path, "cannot be read")
    assert not trap.exists()


def test_finders_say_which_file_is_wrong(tmp_path):
    for name, network in ((HOLE_UNET, HoleUNet), (HOLE_SCORER, HoleUNet), (SQUARE_SCORER, HoleUNet)):
        torch.save(network().state_dict(), tmp_path / name)
    with pytest.raises(BadInput, match=f"{HOLE_SCORER} holds weights of another network"):
        ptolemy_unet({"weights": tmp_path})
    with pytest.raises(BadInput, match=f"{SQUARE_SCORER} holds weights of another network"):
        ptolemy_squares({"weights": tmp_path})


def test_our_own_weights_are_refused_as_well(tmp_path):
    def load(path):
        return network_weights.load(HoleScorer(), path, "hole-scorer")

    path, trap = tmp_path / "own.safetensors", tmp_path / "sprung"
    refused(load, path, "there are no weights at")
    network_weights.save(HoleScorer(), path, "hole-scorer")
    load(path)
    raw = path.read_bytes()
    for part in (0.0, 0.001, 0.5, 0.999):
        path.write_bytes(raw[: int(part * len(raw))])
        refused(load, path, "cannot be read")
    path.write_bytes(pickle.dumps(Trap(trap)))
    refused(load, path, "cannot be read")
    assert not trap.exists()
    network_weights.save(HoleUNet(), path, "hole-unet")
    refused(load, path, "holds weights of hole-unet, and hole-scorer is needed")
    network_weights.save(HoleUNet(), path, "hole-scorer")
    refused(load, path, "does not hold the tensors")
