import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from epicycle.detectors.contract import holes_picture, mesh_picture
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.output import holes_json, holes_schema, squares_json, squares_schema
from epicycle.detectors.records import FoundHole, HoleDetections, Lattice, LatticeKind, Site
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize(("name", "schema"), [("squares", squares_schema()), ("holes", holes_schema())])
def test_schema_in_the_docs_is_the_one_in_use(name, schema):
    assert json.loads((REFERENCE / f"{name}.schema.json").read_text()) == schema


@pytest.mark.parametrize("pixel_size_a", [None, 800.0])
def test_squares_validate_and_have_exactly_the_promised_keys(pixel_size_a):
    image = Image(mesh_picture(np.random.default_rng(1)), pixel_size_a)
    answer = json.loads(json.dumps(squares_json(mixture_squares({}).find(image), "atlas.mrc")))
    jsonschema.validate(answer, squares_schema())
    assert set(answer) == {"image", "pixel_size_a", "grid_angle_deg", "squares"}
    keys = {"x_px", "y_px", "corners_px", "area_px", "mean", "score", "class", "partial"}
    assert all(set(square) == keys for square in answer["squares"])


def test_holes_validate_and_have_exactly_the_promised_keys():
    image = Image(holes_picture(np.random.default_rng(2)), 800.0)
    answer = json.loads(json.dumps(holes_json(lattice_holes({}).find(image), "square.mrc")))
    jsonschema.validate(answer, holes_schema())
    assert set(answer) == {"image", "pixel_size_a", "lattice", "holes"}
    assert set(answer["lattice"]) == {"kind", "a_px", "b_px", "origin_px", "confidence"}
    assert all(set(hole) == {"x_px", "y_px", "radius_px", "score", "status"} for hole in answer["holes"])


def test_x_is_the_column_everywhere():
    lattice = Lattice(LatticeKind.RECTANGULAR, (10.0, 2.0), (-3.0, 15.0), (5.0, 7.0), 0.9)
    found = HoleDetections((FoundHole(row_px=5.0, col_px=7.0, radius_px=3.0, score=0.8, status=Site.HOLE),), lattice)
    answer = holes_json(found, "x")
    assert (answer["holes"][0]["x_px"], answer["holes"][0]["y_px"]) == (7.0, 5.0)
    assert answer["lattice"]["a_px"] == [2.0, 10.0]
    assert answer["lattice"]["b_px"] == [15.0, -3.0]
    assert answer["lattice"]["origin_px"] == [7.0, 5.0]


def test_an_empty_list_comes_with_its_reason():
    blank = Image(np.zeros((100, 100), np.float32))
    squares = squares_json(mixture_squares({}).find(blank), "blank")
    holes = holes_json(lattice_holes({}).find(blank), "blank")
    assert squares["squares"] == []
    assert holes["holes"] == []
    assert holes["lattice"] is None
    assert squares["reason"]
    assert holes["reason"]
    jsonschema.validate(squares, squares_schema())
    jsonschema.validate(holes, holes_schema())
