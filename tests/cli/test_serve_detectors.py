"""A client made from what Leginon's handler is known to send talks to the running server, over a real port."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from epicycle.detectors.contract import holes_picture, mesh_picture

pytest.importorskip("fastapi")

INTEGERS = ("square_id", "tile_id", "grid_id", "hole_id", "mm_img_id")
NUMBERS = ("prior_score", "brightness", "area", "radius", "ctf", "ice_thickness", "GP_probs")
PREDICTED = ("ctf_pred", "ice_pred", "ctf_var", "ice_var")


class Client:
    """Posts JSON without naming its type and reads CSV out of a JSON string, as the handler does."""

    def __init__(self, url: str, authorization: str | None = None) -> None:
        self.url = url
        self.headers = {} if authorization is None else {"Authorization": authorization}

    def send(self, name: str, content: object = None, headers: dict[str, str] | None = None, raw: bytes | None = None):
        body = raw if raw is not None else None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/{name}", body, {**self.headers, **(headers or {})})
        if body is not None:
            request.add_unredirected_header("Content-type", "")
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def done(self, name: str, content: object = None) -> object:
        status, answer = self.send(name, content)
        assert status == 200, answer
        return answer

    def table(self, name: str, content: object = None) -> list[dict]:
        rows = []
        for row in csv.DictReader(io.StringIO(self.done(name, content))):
            read = {key: int(float(row[key])) for key in INTEGERS if key in row}
            read |= {key: float(row[key]) if row[key] else None for key in (*NUMBERS, *PREDICTED) if key in row}
            read["visited"] = row["visited"].lower() == "true"
            read["center"] = float(row["center_x"]), float(row["center_y"])
            corners = [f"vert_{number}_" for number in (1, 2, 3, 4)]
            read["vertices"] = [(float(row[c + "x"]), float(row[c + "y"])) for c in corners if c + "x" in row]
            rows.append(read)
        return rows


@contextmanager
def running(state: Path, *more: str) -> Iterator[tuple[Client, str]]:
    """Start the command itself on a free port; end it as a person would."""
    command = [sys.executable, "-m", "epicycle.cli", "serve-detectors", "--port", "0", "--state", str(state), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"detectors at (http://\S+:\d+),", "".join(said)):
                break
        else:
            pytest.fail(process.stderr.read())
        while "--host" in more and "token:" not in said[-1]:
            said.append(process.stdout.readline())
        yield Client(found[1].replace("0.0.0.0", "127.0.0.1")), "".join(said)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    return mesh_picture(np.random.default_rng(7))


@pytest.fixture(scope="module")
def view() -> np.ndarray:
    return holes_picture(np.random.default_rng(8))


@pytest.mark.slow
def test_a_session_as_leginon_goes_through_it(tmp_path, mesh, view):
    with running(tmp_path / "state") as (client, _):
        client.done("initialize_new_session", {"historical_state_paths": []})
        assert client.table("current_lm_state") == []
        for tile in (501, 502):
            client.done("push_lm", {"image": mesh.astype(int).tolist(), "grid_id": 31, "tile_id": tile})
        squares = client.table("current_lm_state")
        assert [square["square_id"] for square in squares] == list(range(18))
        assert {(square["tile_id"], square["grid_id"]) for square in squares} == {(501, 31), (502, 31)}
        assert all(0 <= square["prior_score"] <= 1 and not square["visited"] for square in squares)
        # The mesh was drawn with openings of 60 px and bars of 30 px.
        places = sorted(tuple(round((value - 59.5) / 90) for value in square["center"]) for square in squares[:9])
        assert places == [(x, y) for x in range(3) for y in range(3)]
        for square in squares:
            assert np.mean(square["vertices"], axis=0) == pytest.approx(square["center"], abs=0.01)
            assert square["area"] == pytest.approx(3600, rel=0.1)
            assert square["brightness"] == pytest.approx(90, rel=0.1)

        first = client.table("select_next_square", {"value": -1})
        assert len(first) == 18
        assert "GP_probs" not in first[0], "clients rank by the prior score until something was learnt"
        client.done("set_noice_hole_intensity", {"value": 85.0})
        sent = {"image": view.tolist(), "grid_id": 31, "tile_id": 501, "square_id": 4, "mm_img_id": 900}
        holes = client.table("push_and_evaluate_mm", sent)
        assert len(holes) > 20
        assert {(hole["mm_img_id"], hole["square_id"], hole["grid_id"]) for hole in holes} == {(900, 4, 31)}
        assert all(abs(hole["radius"] - 11) < 2 for hole in holes)
        assert {tuple(hole[key] for key in PREDICTED) for hole in holes} == {(2.0, 50.0, 1.0, 20.0)}
        assert all(hole["ctf"] is None and not hole["visited"] for hole in holes)

        ids = [hole["hole_id"] for hole in holes[:4]]
        client.done("visit_holes", {"hole_ids": ids, "ctfs": [3.5, 4, None, 3], "ice_thicknesses": [40, 42, 41, None]})
        client.done("visit_square", {"square_id": 7})
        left = client.table("select_next_square", {"value": 31})
        assert {square["square_id"] for square in left} == set(range(18)) - {4, 7}
        assert max(square["GP_probs"] for square in left) == pytest.approx(1)
        assert client.table("select_next_square", {"value": 99}) == []
        again = client.table("rerun_mm_on_active_holes")
        assert {hole["ice_pred"] for hole in again} != {50.0}
        assert [hole["ctf"] for hole in again[:4]] == [3.5, 4, None, 3]
        client.done("save_state", {"path": "monday"})

    saved = tmp_path / "state" / "monday"
    assert {path.name for path in saved.iterdir()} == {
        "state.json", "lmstate.csv", "mmstate.csv", "lm_feats.npy", "mm_feats.npy",
    }  # fmt: skip
    assert np.load(saved / "lm_feats.npy").shape == (18, 4)

    with running(tmp_path / "state") as (client, _):
        assert client.table("current_mm_state")[:4] == [
            {key: value for key, value in hole.items() if key not in PREDICTED} for hole in again[:4]
        ]
        assert sum(square["visited"] for square in client.table("current_lm_state")) == 2
        client.done("initialize_new_session", {"historical_state_paths": ["monday"]})
        assert client.table("current_lm_state") == []
        client.done("push_lm", {"image": mesh.tolist(), "grid_id": 32})
        told = client.table("select_next_square", {"value": -1})
        assert len(told) == 9
        assert "GP_probs" in told[0], "what was learnt on Monday counts"


@pytest.mark.slow
def test_what_is_known_of_vacuum_changes_what_holes_are_worth(tmp_path, view):
    pytest.importorskip("torch")
    sent = {"image": view.tolist(), "grid_id": 31, "tile_id": 501, "square_id": 4, "mm_img_id": 900}
    worth = []
    with running(tmp_path / "state", "--holes", "network-holes") as (client, _):
        for vacuum in (100.0, 900.0):
            client.done("set_noice_hole_intensity", {"value": vacuum})
            worth.append(np.mean([hole["prior_score"] for hole in client.table("push_and_evaluate_mm", sent)]))
    # Beside a vacuum of 900 counts the ice of these holes is far too thick.
    assert worth[1] < 0.05 < worth[0]


@pytest.mark.slow
def test_what_cannot_be_done_is_a_sentence_and_the_server_stays(tmp_path, mesh):
    with running(tmp_path / "state", "--most-mb", "1") as (client, _):
        cases = [
            ("push_lm", {"image": [[1, 2], [3]], "grid_id": 1}, 422, "rows of equal length"),
            ("push_lm", {"image": [[1, 2], [3, 4]], "grid_id": 1}, 422, "2×2 px"),
            ("push_lm", {"image": [[[1]]], "grid_id": 1}, 422, "3 dimensions"),
            ("push_lm", {"image": [[float("nan")] * 20] * 20, "grid_id": 1}, 422, "no numbers"),
            ("push_lm", {"image": mesh.tolist() * 20, "grid_id": 1}, 413, "1048576 bytes"),
            ("push_lm", {"grid_id": 1}, 422, "image: Field required"),
            ("visit_square", {"square_id": 3}, 422, "no square 3; 0 are known"),
            ("visit_holes", {"hole_ids": [1], "ctfs": [], "ice_thicknesses": [2]}, 422, "1 holes come with 0"),
            ("set_noice_hole_intensity", {"value": 0}, 422, "above 0"),
            ("initialize_new_session", {"historical_state_paths": ["sunday"]}, 422, "no saved state"),
            ("save_state", {"path": "../elsewhere"}, 422, "does not lie below"),
            ("save_state", {"path": "/etc"}, 422, "does not lie below"),
            ("shut_down", {}, 404, "Not Found"),
        ]
        for name, content, status, says in cases:
            got, answer = client.send(name, content)
            assert (got, says in answer["detail"]) == (status, True), (name, got, answer)
        assert client.send("push_lm", raw=b"no JSON")[0] == 400
        assert client.send("push_lm", raw=b"[" * 100_000)[0] == 400
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert client.send("current_lm_state", headers=headers)[0] == 403
        client.done("push_lm", {"image": np.zeros((64, 64)).tolist(), "grid_id": 1})
        assert client.table("current_lm_state") == [], "a blank tile holds no squares"
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"state.json"}


@pytest.mark.slow
def test_beyond_this_machine_a_token_is_asked_for(tmp_path):
    with running(tmp_path / "state", "--host", "0.0.0.0") as (client, said):
        assert "Whoever knows the token" in said
        token = re.search(r"token: (\S+)", said)[1]
        assert client.send("current_lm_state")[0] == 401
        assert Client(client.url, "Bearer wrong").send("current_lm_state")[0] == 401
        assert Client(client.url, f"Bearer {token}").table("current_lm_state") == []


def test_what_stands_in_the_way_is_said_before_anything_is_served(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.json").write_text("{no state")
    (tmp_path / "short").write_text("abc\n")
    for more, says in [
        (["--state", str(tmp_path / "state")], "state.json cannot be read"),
        (["--state", str(tmp_path), "--holes", "oracle"], "lattice-holes"),
        (["--state", str(tmp_path), "--token-file", str(tmp_path / "short")], "16 characters"),
    ]:
        ended = subprocess.run(
            [sys.executable, "-m", "epicycle.cli", "serve-detectors", "--port", "0", *more],
            capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert ended.returncode == 2, ended.stderr
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr
