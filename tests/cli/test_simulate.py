"""`epicycle simulate`: files that can be read, the same for the same seed; what a person can mend is a sentence."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from PIL import Image

from epicycle.cli import main
from epicycle.files.mrc import read_header, read_image
from epicycle.hardware.simulator.grid.cassette_world import load_world
from epicycle.protocols.reading import read_cassette, read_protocol

QUICK = ("--size-px", "256")


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `epicycle simulate …`; gives exit code, output and errors."""

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["epicycle", "simulate", *map(str, args)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("level", ["atlas", "square", "hole", "exposure"])
def test_a_picture_of_every_level(tmp_path: Path, simulate: Any, level: str) -> None:
    out, labels = tmp_path / "image.mrc", tmp_path / "labels.json"
    code, said, _ = simulate(
        "image", "--level", level, *QUICK, "--seed", 3, "-o", out, "--json", labels, "--labels", "--plot"
    )
    assert code == 0
    assert str(out) in said
    pixels, pixel_size_a = read_image(out)
    assert pixels.shape == (256, 256)
    header = read_header(out)
    assert header.metadata["level"] == level
    assert pixel_size_a == pytest.approx(header.metadata["pixel_size_a"])
    document = json.loads(labels.read_bytes())
    assert document["images"][0]["width"] == 256
    assert (level == "exposure") or document["annotations"]
    with Image.open(tmp_path / "image.png") as picture:
        assert picture.width > 1.7 * picture.height if level == "exposure" else picture.width < picture.height
    again = tmp_path / "again.mrc"
    simulate("image", "--level", level, *QUICK, "--seed", 3, "-o", again)
    assert again.read_bytes() == out.read_bytes()
    simulate("image", "--level", level, *QUICK, "--seed", 4, "-o", again)
    assert again.read_bytes() != out.read_bytes()


def test_what_is_asked_for_is_what_comes(tmp_path: Path, simulate: Any) -> None:
    out = tmp_path / "image.mrc"
    grid = ("--grid-type", "r2 / 1", "--mesh", "200", "--material", "gold", "--kind", "ordinary", "--square", "dry")
    optics = ("--defocus", "-90", "--tilt", "20", "--dose", "0.001", "--pixel-size-a", "900", *QUICK)
    assert simulate("image", "--level", "square", *grid, *optics, "-o", out)[0] == 0
    about = read_header(out).metadata
    assert {"hole_type": "R2/1", "mesh": "200", "material": "Gold", "square_kind": "dry"}.items() <= about.items()
    assert (about["tilt_deg"], about["dose_e_per_a2"], about["pixel_size_a"]) == (20.0, 0.001, 900.0)
    assert about["defocus_um"] == pytest.approx(-90, abs=0.01)


def test_movies_and_their_sums(tmp_path: Path, simulate: Any) -> None:
    movie, summed = tmp_path / "movie.mrc", tmp_path / "sum.mrc"
    exposure = ("image", "--level", "exposure", *QUICK)
    assert simulate(*exposure, "--frames", "-o", movie)[0] == 0
    assert simulate(*exposure, "--align", "--plot", tmp_path / "own name.png", "-o", summed)[0] == 0
    assert read_header(movie).frames > 1
    assert read_header(summed).frames == 1
    assert (tmp_path / "own name.png").exists()
    code, _, said = simulate("image", "--level", "hole", *QUICK, "--align", "-o", summed)
    assert (code, "only an exposure has frames" in said) == (2, True)


def test_faults_show(tmp_path: Path, simulate: Any) -> None:
    means = {}
    for name, more in {"well": (), "dark": ("--fault", "dark-images"), "weak": ("--fault", "flash-needed")}.items():
        out = tmp_path / f"{name}.mrc"
        assert simulate("image", "--level", "hole", *QUICK, *more, "-o", out)[0] == 0
        means[name] = float(read_image(out)[0].mean())
    assert means["dark"] < 0.02 * means["well"] < means["weak"] < 0.6 * means["well"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--level", "micrograph"), "atlas, square, hole, exposure"),
        (("--level", "hole", "--grid-type", "R9/9"), "R1.2/1.3"),
        (("--level", "hole", "--mesh", "250"), "300"),
        (("--level", "hole", "--material", "cheese"), "Carbon, Gold"),
        (("--level", "hole", "--kind", "lovely"), "thick-ice"),
        (("--level", "hole", "--profile", "titan"), "demo-2k"),
        (("--level", "hole", "--square", "blue"), "contaminated"),
        (("--level", "hole", "--on", "bar"), "hole, film, edge"),
        (("--level", "hole", "--on", "drop", "--set", "grid.ethane=0"), "no drop"),
        (("--level", "hole", "--fault", "fire"), "vibration"),
        (("--level", "hole", "--fault", "load-fails"), "vibration"),
        (("--level", "hole", "--drift", "-3"), "drift"),
        (("--level", "hole", "--place", "5000", "0"), "reach of the stage"),
        (("--level", "hole", "--place", "nan", "0"), "reach of the stage"),
        (("--level", "hole", "--tilt", "85"), "±60"),
        (("--level", "hole", "--defocus", "9000"), "defocus_um"),
        (("--level", "hole", "--dose", "0"), "dose_e_per_a2"),
        (("--level", "hole", "--size-px", "16000"), "camera"),
        (("--level", "square", "--square", "empty", "--kind", "thick-ice", "--seed", "1", "--ice", "-4"), "ice"),
        (("--level", "hole", "--density-map", "nowhere.mrc"), "nowhere.mrc"),
    ],
)
def test_pictures_that_cannot_be(tmp_path: Path, simulate: Any, options: tuple[str, ...], says: str) -> None:
    out = tmp_path / "image.mrc"
    code, _, said = simulate("image", *options, "-o", out)
    assert code == 2
    assert says in said
    assert "Traceback" not in said
    assert not out.exists()


def test_a_density_map_without_a_pixel_size(tmp_path: Path, simulate: Any) -> None:
    path = tmp_path / "map.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.random.default_rng(1).random((16, 16, 16), np.float32))
    out, told = tmp_path / "image.mrc", ("--density-map-pixel-a", "5")
    code, _, said = simulate("image", "--level", "exposure", *QUICK, "--density-map", path, "-o", out)
    assert code == 2
    assert "pixel size" in said
    assert not out.exists()
    assert simulate("image", "--level", "exposure", *QUICK, "--density-map", path, *told, "-o", out)[0] == 0


def test_places_that_cannot_be_written(tmp_path: Path, simulate: Any) -> None:
    (tmp_path / "file").touch()
    nowhere = tmp_path / "none" / "image.mrc"
    for command in (
        ("image", "--level", "hole", *QUICK, "-o", nowhere),
        ("image", "--level", "hole", *QUICK, "-o", tmp_path),
        ("cassette", "-o", tmp_path / "file" / "x"),
        ("dataset", 1, "-o", tmp_path / "file"),
        ("dataset", 1, "-o", tmp_path / "file" / "x"),
        ("gallery", "-o", tmp_path / "file"),
    ):
        code, _, said = simulate(*command)
        assert code == 2, command
        assert "Traceback" not in said
        assert said.startswith("epicycle: ")


def test_sets_that_cannot_be(tmp_path: Path, simulate: Any) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for options, says in (
        ((0, "-o", tmp_path / "a"), "one at least"),
        ((3, "-o", tmp_path / "a", "--levels", "atlas,moon"), "exposure"),
        ((3, "-o", tmp_path / "a", "--levels", ","), "which levels"),
        ((3, "-o", tmp_path / "a", "--camera-scale", 0), "camera"),
        ((3, "-o", tmp_path / "a", "--grid-type", "R9/9"), "R1.2/1.3"),
        ((3, "-o", tmp_path / "mine"), "not empty"),
    ):
        code, _, said = simulate("dataset", *options)
        assert (code, says in said) == (2, True), said
    assert not (tmp_path / "a").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    code, _, said = simulate("gallery", "-o", tmp_path / "b", "--section", "modern-art")
    assert (code, "meshes" in said) == (2, True)
    code, _, said = simulate("cassette", "-o", tmp_path / "c", "--slots", 13)
    assert (code, "1 to 12" in said) == (2, True)


def test_a_set_of_images(tmp_path: Path, simulate: Any) -> None:
    out = tmp_path / "set"
    code, said, _ = simulate("dataset", 3, "-o", out, "--camera-scale", 0.2, "--grid-type", "R2/1", "--seed", 2)
    assert code == 0
    assert "coco.json" in said
    document = json.loads((out / "coco.json").read_bytes())
    assert [image["level"] for image in document["images"]] == ["atlas", "square", "hole"]
    assert {image["hole_type"] for image in document["images"]} == {"R2/1"}
    code, _, said = simulate("dataset", 3, "-o", out, "--camera-scale", 0.2, "--seed", 2)
    assert (code, "another choices" in said) == (2, True)


def test_a_cassette_with_its_truth(tmp_path: Path, simulate: Any) -> None:
    out, few = tmp_path / "cassette", ("--mesh", "200", "--grid-type", "R10/10")
    code, said, _ = simulate("cassette", "-o", out, "--slots", 2, "--seed", 5, *few, "--kind", "good")
    assert code == 0
    cassette, protocol = read_cassette(out / "cassette.yaml"), read_protocol(out / "protocol.yaml")
    assert [grid.mesh for grid in cassette.slots] == ["200", "200"]
    assert "good" not in (out / "cassette.yaml").read_text(), "the box does not tell how its grids turned out"
    world = load_world(str(protocol.microscope.options["world"]))
    assert {slot: grid.kind for slot, grid in world.grids.items()} == {1: "good", 2: "good"}
    assert re.search(r"epicycle run .*--seed 5", said)
    with (out / "truth" / "grids.csv").open() as file:
        grids = list(csv.DictReader(file))
    assert [grid["slot"] for grid in grids] == ["1", "2"]
    with (out / "truth" / "squares-01.csv").open() as file:
        squares = list(csv.DictReader(file))
    assert len(squares) > 150
    assert {"grade", "kind", "ice_nm", "usable"} <= set(squares[0])
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert simulate("cassette", "-o", out, "--slots", 2, "--seed", 5, *few, "--kind", "good")[0] == 0
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    code, _, said = simulate("cassette", "-o", out, "--slots", 2, "--seed", 6, *few)
    assert (code, "another cassette" in said) == (2, True)


def test_a_wall_of_the_gallery(tmp_path: Path, simulate: Any) -> None:
    out = tmp_path / "gallery"
    options = ("gallery", "-o", out, "--section", "faults", "--side-px", 64, "--sheets")
    assert simulate(*options)[0] == 0
    page = (out / "gallery.html").read_text()
    pictures = sorted((out / "pictures").iterdir())
    assert page.count("<img") == len(pictures) >= 4
    assert "http" not in page, "the page needs nothing else"
    with Image.open(out / "sheets" / "faults.png") as sheet:
        assert sheet.width > 4 * 64
    pictures[0].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in pictures[1:]}
    assert simulate(*options)[0] == 0
    assert (out / "gallery.html").read_text() == page
    assert {path: path.stat().st_mtime_ns for path in pictures[1:]} == stamps


def test_every_exhibit_of_the_gallery_can_be_asked_for() -> None:
    from epicycle.hardware.simulator.evaluation import gallery, sitting

    for wall in gallery.sections():
        assert wall.about
        for exhibit in wall.exhibits:
            sitting.grid_spec(exhibit.asked.grid)
            assert set(exhibit.asked.faults) <= set(sitting.SEEN_FAULTS)
    slugs = [wall.slug for wall in gallery.sections()]
    assert len(set(slugs)) == len(slugs)
    titles = [(wall.slug, exhibit.title, exhibit.asked) for wall in gallery.sections() for exhibit in wall.exhibits]
    assert len({repr(title) for title in titles}) == len(titles) == gallery.count(gallery.sections())
