"""Whatever is wrong with a protocol file, the user reads one sentence for it, with the right line."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.protocols.explaining import Mistakes
from epicycle.protocols.reading import parse_protocol, read_protocol, shipped_names, shipped_text


def sentences(text: str) -> tuple[str, ...]:
    with pytest.raises(BadInput) as refused:
        parse_protocol(text, "night.yaml")
    error = refused.value
    return error.sentences if isinstance(error, Mistakes) else (str(error),)


HOLES = "name: x\nsquares:\n  per_grid: 3\nholes:\n  threshold: 0.5\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param(HOLES + "  thresold: 1\n", 6, ["thresold is not a known key", "holes.threshold?"], id="typo"),
        pytest.param(HOLES + "colour: red\n", 6, ["colour is not a known key; accepted at the top"], id="unknown"),
        pytest.param(HOLES + "  bis_radius_nm: 4000\n", 6, ["holes.bis_radius_um (in µm)?"], id="unit in key"),
        pytest.param(HOLES + "  bis_radius_um: 4 um\n", 6, ["number alone, in µm", "from 0 to 20"], id="unit in value"),
        pytest.param(HOLES + "  bis_radius_um: 0,5\n", 6, ["write it as 0.5, without quotes"], id="comma"),
        pytest.param(HOLES + "  per_square: 2.5\n", 6, ["is 2.5", "a whole number from 0 to 10000"], id="half a hole"),
        pytest.param(HOLES + "  per_square: true\n", 6, ["is true", "a whole number"], id="truth for a number"),
        pytest.param(HOLES + '  per_square: "3"\n', 6, ["write it as 3, without quotes"], id="text for a number"),
        pytest.param(HOLES + "  per_square: -1\n", 6, ["holes to expose on each square", "is -1"], id="negative"),
        pytest.param(HOLES + "  bis_radius_um: .inf\n", 6, ["'.inf', which is not a number"], id="infinite"),
        pytest.param(HOLES + "  offset_targeting: yes\n", 6, ["accepted is true or false; write true"], id="yes"),
        pytest.param(HOLES + "  policy: random\n", 6, ["{use: NAME}"], id="plug-in without use"),
        pytest.param(
            HOLES + "  policy: {use: random, a: [.nan]}\n", 6, ["policy.a.0 is '.nan'"], id="option not finite"
        ),
        pytest.param(HOLES + "  policy:\n    depth: 1\n", 6, ["holes.policy.use is missing"], id="use missing"),
        pytest.param(HOLES + "  per_square: 0\n", 6, ["all holes (0) with offset_targeting true"], id="impossible"),
        pytest.param(HOLES + "height:\n", 6, ["height is empty", "give a value or drop the line"], id="empty section"),
        pytest.param(HOLES + "height: [1]\n", 6, ["height is a list of 1", "method, max_change_um"], id="list"),
        pytest.param(HOLES + "exposure: {tilt_deg: 71}\n", 6, ["tilt in degrees", "from -70 to 70"], id="tilt"),
        pytest.param(HOLES + "exposure: {defocus_min_um: 2}\n", 6, ["from -20 to 0"], id="overfocus"),
        pytest.param(HOLES + "time:\n  deadline: 8am\n", 7, ["such as 08:00"], id="deadline"),
        pytest.param(HOLES + "depth: Full\n", 6, ['is "Full"', "one of full, atlas"], id="choice"),
        pytest.param(HOLES + "passes:\n- name: triage\n  grids: 2\n", 8, ["before the first pass"], id="first pass"),
        pytest.param(HOLES + "passes:\n- grids: 2\n", 7, ["passes.0.name is missing", "triage, collect"], id="no name"),
        pytest.param(HOLES + "passes: []\n", 6, ["a list of 1 to 2 sections"], id="no pass"),
        pytest.param(HOLES + "passes:\n- triage\n", 7, ['passes.0 is "triage"', "squares_per_grid"], id="bare pass"),
        pytest.param(
            HOLES + "presets:\n  hole: {pixel_size_a: 1}\n", 7, ["hole.magnification is missing"], id="preset"
        ),
        pytest.param(HOLES + "holes_per_square: 3\n", 6, ["did you mean holes.per_square?"], id="flattened"),
        pytest.param(HOLES + "drift_crit: 3\n", 6, ["settle.drift_limit_a_per_s (in Å/s)?"], id="SmartScope"),
        pytest.param("name: 2024\n", 1, ["name is 2024", "put it in quotes"], id="number for a name"),
        pytest.param("name: my night\n", 1, ["text such as screening-default"], id="name with a blank"),
        pytest.param("squares: {per_grid: 3}\n", 1, ["name is missing"], id="no name at all"),
        pytest.param(HOLES + "holes: {}\n", 6, ["holes is given twice, first on line 4"], id="key twice"),
        pytest.param(HOLES + "  threshold: 1\n", 6, ["given twice, first on line 5"], id="inner twice"),
        pytest.param(HOLES + "squares\n", 7, ["not YAML"], id="no colon"),
        pytest.param(HOLES + "atlas: {tiles_x: 3\n", 7, ["not YAML"], id="open brace"),
        pytest.param(HOLES + "\ttilt: 3\n", 6, ["not YAML", "column 1"], id="tab"),
        pytest.param(HOLES + "time: \x07\n", 6, ["not YAML", "characters"], id="control character"),
        pytest.param(HOLES + "time: *later\n", 6, ["not YAML", "later"], id="unknown alias"),
        pytest.param(HOLES + "time: &a [*a]\n", 6, ["repeats or nests without end"], id="endless"),
        pytest.param(HOLES + "time: !python/object:os.system {}\n", 6, ["tags are not used here"], id="tag"),
        pytest.param(HOLES + "[a]: 3\n", 6, ["key that is not plain text"], id="odd key"),
        pytest.param(HOLES + "---\nname: y\n", 6, ["not YAML", "another document"], id="two documents"),
        pytest.param(HOLES + 'description: "\\ud800"\n', 6, ["half of a character"], id="half a character"),
        pytest.param(HOLES + f"zero_loss_interval_h: {'9' * 5000}\n", 6, ["not a number that"], id="digits"),
        pytest.param("- name: x\n", 1, ["starts with a list"], id="top-level list"),
        pytest.param("\n\nnight\n", 3, ["starts with a single value"], id="top-level text"),
    ],
)
def test_one_sentence_at_the_right_line(text: str, line: int, words: list[str]) -> None:
    found = sentences(text)
    start = f"night.yaml:{line}: "
    ours = [sentence for sentence in found if sentence.startswith(start)]
    assert ours, found
    assert all(word in ours[0] for word in words), ours[0]
    assert all("\n" not in sentence for sentence in found)


def test_every_mistake_is_told_in_the_order_of_lines() -> None:
    found = sentences("name: x\ndepth: Full\nholes:\n  per_square: many\n  colour: red\n")
    assert [sentence.split(":")[1] for sentence in found] == ["2", "4", "5"]


def test_many_mistakes_are_counted_not_printed() -> None:
    text = "name: x\nholes:\n" + "".join(f"  key_{number}: 1\n" for number in range(50))
    with pytest.raises(Mistakes) as refused:
        parse_protocol(text, "night.yaml")
    assert str(refused.value).splitlines()[-1] == "and 30 more"
    assert len(refused.value.sentences) == 50


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n"])
def test_an_empty_file(text: str) -> None:
    (sentence,) = sentences(text)
    assert sentence.startswith("night.yaml: the protocol file is empty") or "single value" in sentence


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "repeats or nests without end" in sentences("\n".join(rows))[0]


def test_deep_nesting_is_refused() -> None:
    assert len(sentences("a: " + "[" * 5000)) == 1
    assert "nests" in sentences("a: " + "[" * 60 + "]" * 60)[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no such protocol file"),
        (lambda path: path.mkdir(), "this is a folder"),
        (lambda path: path.write_bytes(b"name: x\nsession:\n  group: M\xfcller\n"), ":3: this is not UTF-8 text"),
        (lambda path: path.write_text("name: x", "utf-16"), "this is not UTF-8 text"),
        (lambda path: path.write_bytes(b"#" * 2_000_000), "this cannot be a protocol file"),
        (lambda path: os.mkfifo(path), "a device or a pipe"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "night.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(BadInput, match=words) as refused:
        read_protocol(path)
    assert str(refused.value).startswith(str(path))


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "night.yaml"
    path.write_text("name: x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(BadInput, match="may not be read by this user"):
        read_protocol(path)


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 5000 + ".yaml", "x" * 5000, ""])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(BadInput):
        read_protocol(name)


def test_a_byte_order_mark_and_dos_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "night.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\nholes:\r\n  per_square: 2\r\n")
    assert read_protocol(path).holes.per_square == 2


def test_a_misspelt_name_gets_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="did you mean screening-fast") as refused:
        read_protocol("screening_fast")
    assert all(name in str(refused.value) for name in shipped_names())


def test_a_protocol_by_name_or_file(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text(shipped_text("collect"))
    assert read_protocol("collect") == read_protocol(path) == read_protocol(str(path))


TEXT = shipped_text("screening-fast")


def says(text: str) -> str:
    """What is said of a text; empty when it is a good protocol."""
    try:
        parse_protocol(text, "night.yaml")
    except BadInput as error:
        return str(error)
    return ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(TEXT)), st.integers(0, 30), st.text(max_size=8) | st.binary(max_size=4).map(repr))
def test_no_edit_ends_in_a_traceback(at: int, drop: int, put: str) -> None:
    said = says(TEXT[:at] + put + TEXT[at + drop :])
    assert not said or said.startswith("night.yaml")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text(":-[]{}#&*!|>'\"%@`?, \nab1.", max_size=40))
def test_no_text_ends_in_a_traceback(text: str) -> None:
    assert says(text).startswith("night.yaml")
