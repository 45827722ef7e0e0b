"""A recorded session read back: order, places, times, what it showed; and one sentence for what is wrong with it."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from epicycle.hardware.replay.reading import RecordingChoice, checked, read_session
from epicycle.hardware.replay.records import Cost, RecordedSession
from epicycle.hardware.replay.tables import BadRecording, read_holes, read_images
from epicycle.protocols.errors import BadInput


def costs(session: RecordedSession) -> list[Cost]:
    surveys = [tile.survey for tile in session.tiles] + [square.survey for square in session.squares]
    surveys += [survey for square in session.squares for group in square.groups for survey in (group.view, group.focus)]
    return [survey.cost for survey in surveys] + [shot.cost for shot in session.exposures]


def test_exposures_come_in_recorded_order_with_their_results(awkward_folder: Path) -> None:
    shots = read_session(awkward_folder).exposures
    assert [shot.order for shot in shots] == list(range(1, 10))
    assert [shot.at for shot in shots] == sorted(shot.at for shot in shots)
    assert [shot.ctf_max_res for shot in shots] == [3.0, 100000.0, 5.0, 6.0, None, 8.0, 9.0, 10.0, 11.0]
    assert shots[1].ctf_confidence == pytest.approx(0.1)


def test_a_square_that_was_returned_to_is_two_stays(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    stays = [(square.name.split("_", 3)[3], len(square.exposures)) for square in session.squares]
    assert stays == [("00003sq", 0), ("00001sq_v01", 3), ("00002sq", 2), ("00001sq_v01", 4)]
    first, second = (square for square in session.squares if square.name.endswith("00001sq_v01"))
    assert 0 < np.hypot(first.x_um - second.x_um, first.y_um - second.y_um) < 0.01
    assert [len(group.exposures) for group in second.groups] == [2, 2]
    for square in (first, second):
        assert session.square_at(square.x_um, square.y_um) is square


def test_places_follow_the_frames_that_the_recording_gives(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    assert session.um_per_px["gr"] == pytest.approx(0.4)
    assert session.um_per_px["sq"] == pytest.approx(0.08)
    assert session.um_per_px["hl"] == pytest.approx(0.08 / 6)
    shot = session.exposures[4]
    assert shot.ctf_max_res is None, "this one is not in holes.csv: its place comes from the fitted frames"
    turn = np.deg2rad(30.0)
    x_px, y_px = 0.0, -90.0
    offset = np.array([np.cos(turn) * x_px - np.sin(turn) * y_px, np.sin(turn) * x_px + np.cos(turn) * y_px]) / 6 * 0.08
    assert (shot.x_um, shot.y_um) == pytest.approx(tuple(np.array([1100 * 0.4, 0.0]) + offset), abs=1e-6)


def test_all_times_add_up_to_the_length_of_the_recording(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    lines = [line for line in read_images(awkward_folder) if line.level != "en-a"]
    assert session.total_s == (lines[-1].at - lines[0].at).total_seconds()
    assert sum(cost.recorded_s for cost in costs(session)) == pytest.approx(session.total_s)


def test_surveys_go_where_they_were_taken_for(awkward_folder: Path) -> None:
    session = read_session(awkward_folder)
    first, second = (square for square in session.squares if square.name.endswith("00001sq_v01"))
    own = [name.split("_", 3)[3] for name in first.survey.names]
    assert own == ["00001sq", "00001sq_v01", "00001sq_v01_00002hl", "00001sq_v01_00003hl"]
    assert first.survey.takes == 2
    assert second.survey.names == ()
    view = second.groups[0].view
    assert [name[-9:] for name in view.names] == ["001hl_v01"]
    assert second.groups[1].view.takes == 1


def test_the_most_exposed_atlas_is_taken_unless_another_is_named(aldolase: Path) -> None:
    assert RecordingChoice(folder=aldolase).session().atlas == "grid1c"
    assert len(read_session(aldolase, "grid1").exposures) == 4
    with pytest.raises(BadRecording, match=r"grid1b.*grid1c"):
        read_session(aldolase, "grid1b")


def test_the_aldolase_session_as_its_description_has_it(aldolase: Path) -> None:
    session = read_session(aldolase)
    assert (len(session.tiles), len(session.squares), len(session.exposures)) == (41, 35, 4013)
    assert sum(bool(square.groups) for square in session.squares) == 27
    assert sum(len(square.groups) for square in session.squares) == 196
    assert session.started_at == datetime(2021, 3, 2, 12, 41, 52)
    assert session.total_s == 465363.0
    assert sum(cost.recorded_s for cost in costs(session)) == 465363.0
    assert session.hole_pitch_um() == pytest.approx(2.5, rel=0.05)


def test_fitted_places_agree_with_those_given(aldolase: Path, tmp_path: Path) -> None:
    """Places of exposures that holes.csv leaves out come out as if it had them."""
    given = {shot.name: shot for shot in read_session(aldolase).exposures}
    (tmp_path / "images.csv").symlink_to(aldolase / "images.csv")
    lines = (aldolase / "holes.csv").read_text().splitlines(keepends=True)
    (tmp_path / "holes.csv").write_text("".join(lines[:1] + lines[1::50]))
    for shot in read_session(tmp_path).exposures:
        assert (shot.x_um, shot.y_um) == pytest.approx((given[shot.name].x_um, given[shot.name].y_um), abs=1e-3)
    assert len(read_holes(tmp_path)) == 71


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("images.csv", "timestamp", "when", "no column timestamp"),
        ("holes.csv", "sq_x_um", "x", "no column sq_x_um"),
        ("images.csv", "2024-05-06 20:15:10", "yesterday", "line 2: timestamp 'yesterday'"),
        ("images.csv", ",en,", ",xx,", "level 'xx'"),
        ("images.csv", "00001gr,,gr,0.0", "00001gr,,gr,far", "x is 'far'"),
        ("images.csv", "rec1_gridA_00002gr,,gr", "rec1_gridA_00001gr,,gr", "stands on line 2 already"),
        ("images.csv", "00002sq,rec1_gridA_00002gr,sq", "00002sq,gone,sq", "gone"),
        ("images.csv", "00002sq,rec1_gridA_00002gr,sq", "00002sq,rec1_gridA_00001gr_00001sq,sq", "level gr"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(awkward_folder: Path, file: str, old: str, new: str, said: str) -> None:
    path = awkward_folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadRecording, match=said) as caught:
        read_session(awkward_folder)
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_missing_or_foreign_files(awkward_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="no file"):
        read_session(tmp_path / "nowhere")
    holes = (awkward_folder / "holes.csv").read_text()
    (awkward_folder / "holes.csv").write_text(holes.splitlines()[0] + "\n")
    with pytest.raises(BadRecording, match="no lines"):
        read_session(awkward_folder)
    (awkward_folder / "holes.csv").write_text(holes.replace("rec1_", "other_"))
    with pytest.raises(BadRecording, match="the place of none"):
        read_session(awkward_folder)
    (awkward_folder / "images.csv").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(BadRecording, match="not a table"):
        read_session(awkward_folder)


def test_positions_of_another_session_are_refused(awkward_folder: Path) -> None:
    path = awkward_folder / "holes.csv"
    head, *rows = path.read_text().splitlines()
    swapped = [
        ",".join([row.split(",")[0], *other.split(",")[1:]]) for row, other in zip(rows, rows[::-1], strict=True)
    ]
    path.write_text("\n".join([head, *swapped]) + "\n")
    with pytest.raises(BadRecording, match="not of one session"):
        read_session(awkward_folder)


def test_options_are_checked(awkward_folder: Path) -> None:
    with pytest.raises(BadInput, match="option frames of the thing"):
        checked(RecordingChoice, {"folder": str(awkward_folder), "frames": 3}, "the thing")
    with pytest.raises(BadInput, match="option folder of the thing: field required"):
        checked(RecordingChoice, {}, "the thing")
