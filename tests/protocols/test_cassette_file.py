"""Cassette files: what is read, what is refused."""

from pathlib import Path

import pytest

from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput
from epicycle.protocols.reading import parse_cassette, read_cassette

GOOD = """name: Tuesday
slots:
- {slot: 1, name: apo_1, hole_type: r1.2 / 1.3, mesh: 300, material: gold}
- slot: 12
  name: apo_2
"""


def test_names_of_films_and_meshes_are_made_the_makers_own(tmp_path: Path) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text(GOOD)
    first, second = read_cassette(path).slots
    assert (first.hole_type, first.mesh, first.material) == ("R1.2/1.3", "300", "Gold")
    assert (second.slot, second.hole_type, second.mesh, second.material, second.note) == (12, "", "", "", "")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("slots:\n- {slot: 1, name: a}\n- slot: 13\n  name: b\n", 3, "slots.1.slot is 13"),
        ("slots:\n- {slot: 0, name: a}\n", 2, "accepted is a whole number from 1 to 12"),
        ("slots:\n- {slot: 3, name: a}\n- name: b\n  slot: 3\n", 4, "slot 3 is given twice, to a (slot 3) and to b"),
        ("slots:\n- {slot: 3, name: a}\n- slot: 4\n  name: A\n", 4, "is given twice"),
        ("name: x\nslots: []\n", 2, "the cassette holds no grids"),
        ("name: x\nslots:\n", 2, "slots is empty"),
        ("name: x\n", 1, "slots is missing"),
        ("slots: {1: a}\n", 1, "slots is a section"),
        ("slots:\n- {slot: 1}\n", 2, "slots.0.name is missing"),
        ("slots:\n- {slot: 1, name: ../../a}\n", 2, "text such as"),
        ("slots:\n- {slot: 1, name: a, hole_type: R7/7}\n", 2, "accepted are R0.6/1, R1/4, R1.2/1.3"),
        ("slots:\n- {slot: 1, name: a, mesh: 250}\n", 2, "'250' is not a mesh known here; accepted are 200, 300, 400"),
        ("slots:\n- {slot: 1, name: a, mesh: true}\n", 2, "slots.0.mesh is true"),
        ("slots:\n- {slot: 1, name: a, material: Tin}\n", 2, "accepted are Carbon, Gold"),
        ("slots:\n- {slot: 1, name: a, holetype: R2/2}\n", 2, "did you mean slots.0.hole_type?"),
        ("slots:\n- {slot: 1, name: a, holes_per_square: 0}\n", 2, "from 1 to 10000"),
        ("", None, "the cassette file is empty; list the grids under the key slots"),
    ],
)
def test_what_a_cassette_cannot_be(text: str, line: int | None, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_cassette(text, "c.yaml")
    sentence = str(refused.value)
    assert sentence.startswith(f"c.yaml:{line}: " if line else "c.yaml: ")
    assert words in sentence
    assert "\n" not in sentence


def test_what_lies_in_a_slot() -> None:
    cassette = parse_cassette(GOOD, "c.yaml")
    grid = cassette.grid_in(12)
    assert grid is not None
    assert grid.name == "apo_2"
    assert cassette.grid_in(2) is None
    assert isinstance(cassette, Cassette)
