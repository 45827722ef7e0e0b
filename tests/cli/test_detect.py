"""`epicycle detect` on files of every kind, in this project's form and in Ptolemy's, explained and drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tifffile
from PIL import Image

from epicycle.detectors.contract import holes_picture, mesh_picture
from epicycle.detectors.output import holes_schema
from epicycle.files.mrc import write_mrc

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "images"


def detect(*args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-m", "epicycle.cli", "detect", *map(str, args)],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False, timeout=55,
    )  # fmt: skip
    assert ended.returncode == code, (ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def mesh(tmp_path):
    write_mrc(tmp_path / "mesh.mrc", mesh_picture(np.random.default_rng(7)), 1000.0)
    return tmp_path / "mesh.mrc"


@pytest.fixture
def holes(tmp_path):
    write_mrc(tmp_path / "holes.mrc", holes_picture(np.random.default_rng(8)), None)
    return tmp_path / "holes.mrc"


def test_squares_as_ptolemy_s_script_writes_them(mesh, tmp_path):
    ended = detect("squares", mesh, "--format", "ptolemy")
    squares = json.loads(ended.stdout)
    assert ended.stdout.count("\n") == 1
    assert len(squares) == 9
    for square in squares:
        assert list(square) == ["vertices", "center", "area", "brightness", "score"]
        x, y = np.array(square["vertices"]).T
        assert square["center"] == [int(np.mean(x)), int(np.mean(y))]
        # y goes down on a screen: against the clock there is a negative sum here.
        signed = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
        assert signed == pytest.approx(-square["area"])
    assert [s["score"] for s in squares] == sorted((s["score"] for s in squares), reverse=True)
    detect("squares", mesh, "--format", "ptolemy", "--text", tmp_path / "mesh.txt", "--json", tmp_path / "mesh.json")
    heading, *lines = (tmp_path / "mesh.txt").read_text().splitlines()
    assert heading == "x_coord\ty_coord"
    assert sorted(lines) == sorted("\t".join(map(str, square["center"])) for square in squares)
    assert json.loads((tmp_path / "mesh.json").read_text()) == squares


def test_holes_as_ptolemy_s_script_writes_them(holes):
    found = json.loads(detect("holes", holes, "--format", "ptolemy").stdout)
    assert len(found) > 20
    for hole in found:
        assert list(hole) == ["vertices", "center", "area", "score"]
        x, y = np.array(hole["vertices"]).T
        signed = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
        assert signed == pytest.approx(hole["area"])
        assert signed >= 4 * 10**2


def test_nothing_found_is_an_empty_list_with_a_word_why(tmp_path):
    write_mrc(tmp_path / "noise.mrc", np.random.default_rng(1).normal(0, 1, (200, 200)).astype(np.float32), None)
    for what in ("squares", "holes"):
        ended = detect(what, tmp_path / "noise.mrc", "--format", "ptolemy")
        assert json.loads(ended.stdout) == []
        assert "nothing found: " in ended.stderr


@pytest.mark.parametrize(
    ("what", "image", "reference"),
    [
        ("squares", "lowmag_20may08a", "lowmag_20may08a_published_cli"),
        ("holes", "medmag_21feb25a_1440x1023", "medmag_21feb25a_1440x1023_published_cli"),
    ],
)
def test_the_form_is_that_of_the_published_program(what, image, reference):
    if not REAL.is_dir():
        pytest.skip(f"no real images at {REAL}")
    published = json.loads((REAL / "reference" / f"{reference}.json").read_text())
    published = published["items"] if isinstance(published, dict) else published
    own = json.loads(detect(what, REAL / f"{image}.mrc", "--format", "ptolemy").stdout)
    known = set(published[0])
    assert known <= set(own[0]) <= known | {"area"}
    near = [
        (item, min(own, key=lambda other: np.hypot(*np.subtract(other["center"], item["center"]))))
        for item in published
    ]
    matched = [pair for pair in near if np.hypot(*np.subtract(pair[0]["center"], pair[1]["center"])) < 6]
    assert len(matched) >= 0.8 * len(published)
    for theirs, ours in matched:
        # Corner by corner, in the same order round, from the same one on.
        away = np.hypot(*(np.array(theirs["vertices"]) - np.array(ours["vertices"])).T)
        assert np.median(away) < 14, (theirs, ours)


@pytest.mark.parametrize(("script", "what"), [("find_squares.sh", "mesh"), ("find_holes.sh", "holes")])
def test_the_scripts_that_leginon_sources(tmp_path, request, script, what):
    image = request.getfixturevalue(what)
    (tmp_path / "out").mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = f"source {ROOT / 'examples' / 'leginon' / script} job7 {image} {tmp_path / 'out'}"
    subprocess.run(["bash", "-c", command], check=True, env={**os.environ, "PATH": path}, timeout=50)
    assert len(json.loads((tmp_path / "out" / "job7.json").read_text())) >= 9


def test_each_stage_is_explained_with_its_time(mesh, holes):
    for what, image, stages in [
        ("squares", mesh, ("openings", "classes")),
        ("holes", holes, ("film", "lattice", "sites")),
    ]:
        ended = detect(what, image, "--explain", "--format", "ptolemy")
        assert len(json.loads(ended.stdout)) >= 9, "what is explained goes to the other stream"
        assert "CPU ms" in ended.stderr
        for stage in stages:
            assert stage in ended.stderr


def test_files_of_other_kinds(tmp_path):
    pixels = mesh_picture(np.random.default_rng(7))
    Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / "mesh.tif", compression="tiff_lzw")
    Image.fromarray(np.clip(pixels * 2, 0, 255).astype(np.uint8)).save(tmp_path / "mesh.png")
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([np.zeros_like(pixels), pixels]))
    assert "9 squares" in detect("squares", tmp_path / "mesh.tif").stdout
    figure = detect("squares", tmp_path / "mesh.png")
    assert "9 squares" in figure.stdout
    assert "is a figure" in figure.stderr
    assert "--section, 0 to 1" in detect("squares", tmp_path / "stack.tif", code=2).stderr
    assert "9 squares" in detect("squares", tmp_path / "stack.tif", "--section", 1).stdout
    assert "no number 2" in detect("squares", tmp_path / "stack.tif", "--section", 2, code=2).stderr


def fits(image, *more):
    return {(hole["x_px"], hole["y_px"]): hole["fit"] for hole in told(image, *more) if "fit" in hole}


def told(image, *more):
    file = image.with_suffix(".json")
    ended = detect("holes", image, "--finder", "network-holes", "--json", file, *more)
    assert "fit" in ended.stdout
    answer = json.loads(file.read_text())
    jsonschema.validate(answer, holes_schema())
    return answer["holes"]


def test_the_chance_of_being_fit_is_told_and_hangs_on_vacuum(holes):
    pytest.importorskip("torch")
    plain = fits(holes)
    sites = {(hole["x_px"], hole["y_px"]): hole["status"] for hole in told(holes)}
    assert set(plain) == {place for place, status in sites.items() if status in ("hole", "partial")}
    # Film of 40 counts with holes of 70: beside a vacuum of 100 the ice is thin, beside one of 900 it is far too thick.
    thin, thick = fits(holes, "--vacuum-counts", 100), fits(holes, "--vacuum-counts", 900)
    assert thin.keys() == thick.keys() == plain.keys()
    assert np.mean(list(thick.values())) < 0.05 < np.mean(list(thin.values()))
    ptolemy = json.loads(detect("holes", holes, "--finder", "network-holes", "--format", "ptolemy").stdout)
    assert sorted(round(hole["score"], 4) for hole in ptolemy) == sorted(plain.values())


def test_where_a_network_cannot_run_it_is_said(holes):
    without = "import sys; sys.modules['torch'] = None; from epicycle.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", without, "detect", "holes", str(holes), "--finder", "network-holes"],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False, timeout=55,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "sites, square lattice" in ended.stdout
    assert "torch" in ended.stderr


def test_what_does_not_go_together_is_said(mesh, tmp_path):
    for args, says in [
        (("squares", mesh, "--text", tmp_path / "x"), "--format ptolemy"),
        (("squares", mesh, "--finder", "lattice-holes"), "detect holes"),
        (("holes", mesh, "--finder", "mixture-squares"), "detect squares"),
        (("holes", mesh, "--finder", "oracle"), "lattice-holes"),
        (("holes", mesh, "--finder", "ptolemy-unet"), "'weights': Field required"),
        (("squares", mesh, "--finder", "ptolemy-squares", "--weights", tmp_path), "there are no weights at"),
        (("squares", mesh, "--ptolemy-compatible"), "batch_statistics"),
        (("holes", mesh, "--vacuum-counts", 90), "lattice-holes: option 'vacuum_counts'"),
        (("holes", mesh, "--finder", "network-holes", "--vacuum-counts", 0), "greater than 0"),
    ]:
        assert says in detect(*args, code=2).stderr
