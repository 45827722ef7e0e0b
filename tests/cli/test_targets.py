"""`epicycle targets` on a person's own holes: every way in, every way out, and what cannot be."""

import csv
import io
import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from epicycle.cli import app
from epicycle.cli.app import main
from epicycle.protocols.errors import EpicycleError

KEYS = {"groups", "route", "coverage", "lower_bound", "stage_moves"}


def field(rows: int = 6, columns: int = 6) -> np.ndarray:
    return 2.0 * np.array([(i, j) for i in range(rows) for j in range(columns)], dtype=float)


def table(path: Path, points: np.ndarray, values: np.ndarray | None = None) -> Path:
    lines = ["x_um,y_um" + ("" if values is None else ",value")]
    for row, (x, y) in enumerate(points.tolist()):
        lines.append(f"{x},{y}" + ("" if values is None else f",{values[row]}"))
    path.write_text("\n".join(lines) + "\n")
    return path


def targets(*arguments: object) -> str:
    ended = CliRunner().invoke(app, ["targets", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def checked(body: dict, points: np.ndarray, radius: float, exposable: set[int]) -> None:  # type: ignore[type-arg]
    assert set(body) == KEYS
    assert sorted(body["route"]) == list(range(len(body["groups"])))
    assert body["stage_moves"] == len(body["groups"]) >= body["lower_bound"]
    holes = [hole for group in body["groups"] for hole in group["holes"]]
    assert len(holes) == len(set(holes))
    assert set(holes) <= exposable
    assert body["coverage"] == pytest.approx(len(holes) / max(len(exposable), 1))
    for group in body["groups"]:
        assert set(group) == {"x_um", "y_um", "holes"}
        gaps = points[group["holes"]] - (group["x_um"], group["y_um"])
        assert np.hypot(*gaps.T).max() <= radius + 1e-9


def test_a_table_in_json_csv_and_a_picture_out(tmp_path: Path) -> None:
    points, values = field(), np.where(np.arange(36) % 7 == 3, 0.0, 0.8)
    path = table(tmp_path / "holes.csv", points, values)
    out = {name: tmp_path / name for name in ("out.json", "out.csv", "out.png")}
    said = targets(path, "--radius", 4, "--json", out["out.json"], "--csv", out["out.csv"], "--plot", out["out.png"])
    body = json.loads(out["out.json"].read_text())
    exposable = set(np.flatnonzero(values).tolist())
    checked(body, points, 4, exposable)
    assert body["coverage"] == 1.0
    assert f"{len(body['groups'])} groups" in said
    assert "100.0 % coverage" in said
    assert f"{len(body['groups'])} stage moves" in said
    assert "good exposures/h" in said
    assert "5 left out: its value is 0" in said
    lines = list(csv.DictReader(io.StringIO(out["out.csv"].read_text())))
    assert sorted(int(line["hole"]) for line in lines) == list(range(36))
    taken = [line for line in lines if line["group"]]
    assert [int(line["group"]) for line in taken] == sorted(
        (int(line["group"]) for line in taken), key=body["route"].index
    ), "lines stand in the order of visits"
    for line in taken:
        for axis in "xy":
            reached = float(line[f"stage_{axis}_um"]) + float(line[f"shift_{axis}_um"])
            assert reached == pytest.approx(float(line[f"aim_{axis}_um"]), abs=2e-4)
    assert out["out.png"].read_bytes()[:4] == b"\x89PNG"


def test_json_and_csv_without_a_name_are_printed(tmp_path: Path) -> None:
    path = table(tmp_path / "holes.csv", field())
    checked(json.loads(targets(path, "--json")), field(), 4, set(range(36)))
    checked(json.loads(targets(path, "--json", "--radius", 3)), field(), 3, set(range(36)))
    assert targets(path, "--json", "-") == targets("--json", "-", path)
    assert targets(path, "--csv").startswith("hole,x_um,y_um,value,group")


def test_the_order_of_lines_changes_nothing(tmp_path: Path) -> None:
    points = field(7, 5)
    order = np.random.default_rng(1).permutation(35)
    first, second = (
        json.loads(targets(table(tmp_path / f"{name}.csv", some), "--json"))
        for name, some in (("a", points), ("b", points[order]))
    )
    assert [sorted(order[g["holes"]].tolist()) for g in second["groups"]] == [
        sorted(g["holes"]) for g in first["groups"]
    ]
    assert first["route"] == second["route"]


def test_detections_as_json(tmp_path: Path) -> None:
    sites = [("hole", 0.9), ("covered", 0.8), ("hole", 0.5), ("missing", 0.1), ("hole", 0.7)]
    holes = [
        {"x_px": 100.0 * n, "y_px": 40.0, "radius_px": 20.0, "score": score, "status": status}
        for n, (status, score) in enumerate(sites)
    ]
    body = {"image": "view.mrc", "pixel_size_a": 200.0, "lattice": None, "holes": holes}
    path = tmp_path / "holes.json"
    path.write_text(json.dumps(body))
    out = json.loads(targets(path, "--json", "--radius", 4.5))
    checked(out, np.array([(2.0 * n, 0.8) for n in range(5)]), 4.5, {0, 2, 4})
    assert [sorted(group["holes"]) for group in out["groups"]] == [[0, 2, 4]]
    # Where it is told how likely a hole is fit, that is what it counts.
    unfit = [{**hole, "fit": 0.0} if n == 2 else hole for n, hole in enumerate(holes)]
    path.write_text(json.dumps({**body, "holes": unfit}))
    told = json.loads(targets(path, "--json", "--radius", 4.5))
    checked(told, np.array([(2.0 * n, 0.8) for n in range(5)]), 4.5, {0, 4})
    path.write_text(json.dumps({**body, "pixel_size_a": None}))
    refused(path, says="no pixel size")
    assert json.loads(targets(path, "--json", "--pixel-size-a", 200, "--radius", 4.5)) == out
    path.write_text(json.dumps([1, 2]))
    refused(path, says="not what `epicycle detect holes --json` writes")


def view(path: Path, pixel_size_a: float) -> Path:
    """A view of film with bright holes, 8 × 8 on a lattice of 40 px."""
    rows, cols = np.mgrid[:384, :384]
    pixels = np.random.default_rng(2).normal(100, 4, (384, 384))
    for i in range(8):
        for j in range(8):
            pixels[(rows - 52 - 40 * i) ** 2 + (cols - 52 - 40 * j) ** 2 < 12**2] += 60
    with mrcfile.new(path) as file:
        file.set_data(pixels.astype(np.float32))
        file.voxel_size = pixel_size_a
    return path


def test_an_image(tmp_path: Path) -> None:
    path = view(tmp_path / "view.mrc", 500.0)
    plot = tmp_path / "plot.png"
    body = json.loads(targets(path, "--json", "--radius", 3, "--plot", plot))
    assert set(body) == KEYS
    assert sum(len(group["holes"]) for group in body["groups"]) >= 60
    assert plot.exists()
    refused(view(tmp_path / "unknown.mrc", 0.0), says="no pixel size")


def test_every_wish_can_be_said(tmp_path: Path) -> None:
    path = table(tmp_path / "holes.csv", field(9, 9))
    assert json.loads(targets(path, "--json", "--radius", 6, "--pattern", "3x3"))["stage_moves"] == 9
    pairs = json.loads(targets(path, "--json", "--radius", 6, "--pattern", "0,0 1,0"))
    assert max(len(group["holes"]) for group in pairs["groups"]) == 2
    assert pairs == json.loads(targets(path, "--json", "--radius", 6, "--pattern", "0,0;2,0", "--pattern-in-um"))
    level = json.loads(targets(path, "--json", "--radius", 4))
    assert json.loads(targets(path, "--json", "--tilt", 45))["stage_moves"] < level["stage_moves"]
    by_score = targets(path, "--json", "--objective", "score", "--weight", 12, "--coverage", 0)
    assert json.loads(by_score)["coverage"] < 1
    shots = targets(path, "--csv", "--shots", 2, "--beam-diameter", 0.4, "--hole-diameter", 1.2)
    assert len(shots.splitlines()) == 1 + 2 * 81
    free = json.loads(targets(path, "--json", "--centre", "free"))
    assert free["stage_moves"] <= level["stage_moves"]
    assert targets(path, "--min-group", 3, "--start=16,16", "--time-limit", 0.02, "--defocus-spread", 2)


def test_no_holes_one_hole_and_each_alone(tmp_path: Path) -> None:
    none = table(tmp_path / "none.csv", np.zeros((0, 2)))
    assert json.loads(targets(none, "--json", "--plot", tmp_path / "none.png")) == {
        "groups": [],
        "route": [],
        "coverage": 0.0,
        "lower_bound": 0,
        "stage_moves": 0,
    }
    one = json.loads(targets(table(tmp_path / "one.csv", field(1, 1)), "--json", "--plot", tmp_path / "one.png"))
    assert one["groups"] == [{"x_um": 0.0, "y_um": 0.0, "holes": [0]}]
    alone = json.loads(targets(table(tmp_path / "all.csv", field()), "--json", "--radius", 0))
    assert alone["stage_moves"] == alone["lower_bound"] == 36


def refused(*arguments: object, says: str) -> None:
    with pytest.raises(EpicycleError, match=says) as caught:
        CliRunner().invoke(app, ["targets", *map(str, arguments)], catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    good = table(tmp_path / "good.csv", field())
    refused(good, "--radius", -1, says="radius is -1.0 µm")
    refused(good, "--min-group", 0, says="cannot have 0 holes")
    refused(good, "--pattern", "star", says="no pattern 'star'")
    refused(good, "--pattern", "1,a", says="'1,a' is no pair")
    refused(good, "--start", "1", says="'1' is no pair")
    refused(good, "--tilt", 89, says="tilt of 89.0")
    refused(good, "--shots", 2, says="need the radius of the beam")
    refused(good, "--beam-diameter", 1, says="go together")
    refused(good, "--csv", good, says="is what is to be read")
    refused(good, "--csv", tmp_path / "x", "--json", tmp_path / "x", says="one place")
    refused(table(tmp_path / "twice.csv", field()[[0, 1, 0]]), says="Holes 0 and 2 .* stand on one spot")
    refused(table(tmp_path / "nan.csv", np.array([(0, 0), (np.nan, 1)])), says="number 1 .* is not finite")
    refused(table(tmp_path / "value.csv", field(1, 2), np.array([1, np.nan])), says="value of hole 1")
    (tmp_path / "names.csv").write_text("a,b\n1,2\n")
    refused(tmp_path / "names.csv", says="no column x_um")
    (tmp_path / "word.csv").write_text("x_um,y_um\n1,2\n3,much\n")
    refused(tmp_path / "word.csv", says="line 3: x_um, y_um must be numbers")
    (tmp_path / "empty.csv").touch()
    refused(tmp_path / "empty.csv", says="no column x_um")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    refused(tmp_path / "binary.csv", says="no table of text")


def test_a_table_without_holes_says_so(tmp_path: Path) -> None:
    none = table(tmp_path / "none.csv", field(0, 0))
    assert "names no holes" in targets(none)
    assert json.loads(targets(none, "--json", "-"))["groups"] == []


def test_a_million_holes_say_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "million.csv"
    path.write_text("x_um,y_um\n" + "".join(f"{n},0\n" for n in range(10**6)))
    refused(path, says="1000000 holes are more than the 200000")


def test_exit_code_2_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = table(tmp_path / "good.csv", field())
    for arguments, says in (([good, "--radius", "-1"], "radius"), ([tmp_path / "none.csv"], "No such file")):
        monkeypatch.setattr("sys.argv", ["epicycle", "targets", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert says in said
        assert len(said.strip().splitlines()) == 1
