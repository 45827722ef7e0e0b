"""Everything a person can get wrong ends in one sentence and exit code 2, and nothing is lost."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest

GOOD_CASSETTE = "slots:\n  - {slot: 1, name: one, hole_type: R5/2, mesh: '300'}\n"


def epicycle(*args: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epicycle.cli", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
        timeout=55,
    )


def refused(*args: object, says: str, cwd: Path | None = None) -> None:
    ended = epicycle(*args, cwd=cwd)
    assert ended.returncode == 2, (ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr + ended.stdout
    assert says in ended.stderr, ended.stderr


def mrc(path: Path, data: np.ndarray) -> Path:
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as file:
        warnings.simplefilter("ignore", RuntimeWarning)  # mrcfile does not like what we give it; that is the point
        file.set_data(data)
    return path


def of_mode(path: Path, whole: Path, mode: int) -> Path:
    raw = bytearray(whole.read_bytes())
    raw[12:16] = np.array([mode], "<i4").tobytes()
    path.write_bytes(raw)
    return path


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(100, 10, (64, 64)).astype(np.float32)


@pytest.mark.parametrize("what", ["squares", "holes"])
def test_images_that_cannot_be_used(tmp_path: Path, noise: np.ndarray, what: str) -> None:
    whole = mrc(tmp_path / "whole.mrc", noise)
    (tmp_path / "cut.mrc").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "empty.mrc").touch()
    with_nan = noise.copy()
    with_nan[3, 4] = np.nan
    cases = {
        "no such file": tmp_path / "none.mrc",
        "cut.mrc": tmp_path / "cut.mrc",
        "empty": tmp_path / "empty.mrc",
        "1×1": mrc(tmp_path / "one.mrc", noise[:1, :1]),
        "constant.mrc": mrc(tmp_path / "constant.mrc", np.full((64, 64), 7, np.int16)),
        "nan.mrc": mrc(tmp_path / "nan.mrc", with_nan),
        "mode 3": of_mode(tmp_path / "mode.mrc", whole, 3),
        "mode 7": of_mode(tmp_path / "mode7.mrc", whole, 7),
        "stack.mrc": mrc(tmp_path / "stack.mrc", np.stack([noise, noise])),
    }
    for says, path in cases.items():
        refused("detect", what, path, says=says)


@pytest.mark.parametrize(
    ("cassette", "says"),
    [
        ("slots:\n  - {slot: 13, name: x}\n", "13"),
        ("slots:\n  - {slot: 1, name: x}\n  - {slot: 1, name: y}\n", "slot 1 is given twice"),
        ("slots: []\n", "no grids"),
        ("slots:\n  - {slot: 1, name: x, hole_type: R9/9}\n", "R1.2/1.3"),
    ],
)
def test_cassettes_that_cannot_be(tmp_path: Path, cassette: str, says: str) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text(cassette)
    refused("run", "--cassette", path, "--out", tmp_path / "night", says=says)
    assert not (tmp_path / "night" / "night.db").exists()


def test_protocols_and_plugins_that_are_not_known(tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.yaml"
    cassette.write_text(GOOD_CASSETTE)
    wrong_key, wrong_plugin = tmp_path / "key.yaml", tmp_path / "plugin.yaml"
    wrong_key.write_text("name: x\nholes:\n  per_sqare: 3\n")
    wrong_plugin.write_text("name: x\nsquares:\n  policy: {use: oracle}\n")
    out = tmp_path / "night"
    refused("run", "--cassette", cassette, "--protocol", wrong_key, "--out", out, says="per_square")
    refused("protocols", "validate", wrong_key, says="key.yaml:3")
    refused("run", "--cassette", cassette, "--protocol", wrong_plugin, "--out", out, says="cluster-sampling")
    refused("run", "--cassette", cassette, "--protocol", "screening-slow", "--out", out, says="screening-fast")
    refused("run", "--cassette", cassette, "--microscope", "titan", "--out", out, says="sim")
    refused("run", "--cassette", cassette, "--until", "25:99", "--out", out, says="--until")
    refused("run", "--out", out, says="--cassette")


def test_folders_and_records_that_cannot_be_used(tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.yaml"
    cassette.write_text(GOOD_CASSETTE)
    (tmp_path / "file").touch()
    refused("run", "--cassette", cassette, "--out", tmp_path / "file" / "night", says="--out")
    for command in ("status", "resume", "stop", "pause", "report"):
        refused(command, tmp_path / "nowhere.db", says="nowhere.db")
    (tmp_path / "text.db").write_text("this is no database " * 100)
    for command in ("status", "resume", "report"):
        refused(command, tmp_path / "text.db", says="text.db")


def test_what_is_well_ends_well(tmp_path: Path) -> None:
    listed = epicycle("protocols", "list")
    assert listed.returncode == 0
    for name in (
        "screening-default",
        "screening-fast",
        "atlas-only",
        "collect",
        "tilted-30",
        "negative-stain",
        "lacey",
    ):
        assert name in listed.stdout
    shown = epicycle("protocols", "show", "screening-default")
    saved = tmp_path / "mine.yaml"
    saved.write_text(shown.stdout)
    assert epicycle("protocols", "validate", saved).returncode == 0
    assert '"properties"' in epicycle("protocols", "schema").stdout
    fit = epicycle("doctor", "--out", tmp_path)
    assert fit.returncode == 0, fit.stdout
    assert "plug-ins" in fit.stdout
    assert epicycle("--version").stdout.startswith("epicycle ")


def test_an_export_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    refused("export", tmp_path, "--to", "xlsx", "--out", tmp_path / "o", says="csv, parquet, json, star, coco")
    refused("export", tmp_path, "--to", "csv", "--out", tmp_path / "o", says="night.db")
    assert not (tmp_path / "o").exists()


def test_training_of_squares_names_the_command_that_trains() -> None:
    refused("train", "squares", "--labels", "mine", "-o", "there", says="epicycle train square-scores --labels mine")
