"""Labels in, seeded training, weights with a card out: the frame all networks share, on the smallest runs there are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are an optional extra")
pytest.importorskip("safetensors", reason="networks are an optional extra")

from epicycle.detectors import network_weights  # noqa: E402
from epicycle.detectors.evened import evened  # noqa: E402
from epicycle.detectors.hole_network import ARCHITECTURE, HoleMaps  # noqa: E402
from epicycle.detectors.training.calibration import calibration_error, platt, sorting  # noqa: E402
from epicycle.detectors.training.hole_maps import HoleMapTask, marks_by_truth  # noqa: E402
from epicycle.detectors.training.kinds import HOLE_SCORES, HOLES  # noqa: E402
from epicycle.detectors.training.labelled import HoleMark, LabelledImage, held_out, read_labels  # noqa: E402
from epicycle.detectors.training.loop import CHECKPOINT, Plan, device_of, fresh, train  # noqa: E402
from epicycle.detectors.training.running import prepared  # noqa: E402
from epicycle.files.mrc import write_mrc  # noqa: E402
from epicycle.protocols.errors import BadInput  # noqa: E402

CPU = torch.device("cpu")
PLAN = Plan(seed=4, steps=10, batch=2, checkpoint_every=5)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path, draw_holes):
    """Three labelled pictures and their table, as a facility would write it."""
    lines = ["file,kind,label,x,y,radius,x0,y0,x1,y1"]
    for number in range(3):
        drawn = draw_holes(np.random.default_rng(number), shape=(220, 240), radius=12.0, pitch=44.0, missing=0.0)
        write_mrc(tmp_path / f"{number}.mrc", drawn.pixels, 500.0)
        lines += [f"{number}.mrc,hole,usable,{col:.2f},{row:.2f},12.0,,,," for row, col in drawn.centres]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_table_gives_points_and_boxes(folder):
    (folder / "labels.csv").write_text(
        "file,kind,label,x,y,radius,x0,y0,x1,y1\n0.mrc,hole,covered,10,20,5,,,,\n0.mrc,square,good,,,,1,2,11,22\n"
    )
    (image,) = read_labels(folder)
    (hole,), (square,) = image.holes, image.squares
    assert (hole.row_px, hole.col_px, hole.radius_px, hole.category) == (20, 10, 5, "covered")
    assert square.corners_px == ((2, 1), (2, 11), (22, 11), (22, 1))
    assert image.pixels().shape == (220, 240)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,kind,label,x,y,radius\n0.mrc,hole,,1,2,none\n", "line 2"),
        ("file,kind,label,x,y,radius\n0.mrc,pole,,1,2,3\n", "pole"),
        ("file,kind,label,x,y,radius\n9.mrc,hole,,1,2,3\n", "no MRC file"),
        ("name,what\n0.mrc,hole\n", "columns are"),
        ("file,kind,label,x,y,radius\n", "labels no image"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(folder, table, said):
    (folder / "labels.csv").write_text(table)
    with pytest.raises(BadInput, match=said):
        read_labels(folder)


def test_a_coco_document_gives_centres_from_keypoints_or_boxes(tmp_path):
    mark = {"image_id": 1, "category_id": 2, "bbox": [9.5, 19.5, 10, 10], "segmentation": [[]]}
    document = {
        "images": [{"id": 1, "file_name": "a.mrc", "level": "hole", "pixel_size_a": 100.0, "dose_e_per_a2": 0.05}],
        "categories": [{"id": 2, "name": "hole/usable"}],
        "annotations": [mark, {**mark, "keypoints": [30.0, 40.0, 2], "num_keypoints": 1, "radius_px": 7.0}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    (image,) = read_labels(tmp_path)
    assert [(hole.row_px, hole.col_px, hole.radius_px) for hole in image.holes] == [(24, 14, 5), (40, 30, 7)]
    assert image.vacuum == pytest.approx(500.0)
    (tmp_path / "coco.json").write_text("{}")
    with pytest.raises(BadInput, match="COCO"):
        read_labels(tmp_path)


def test_a_hole_cut_by_the_border_has_its_middle_where_it_is_and_not_where_its_box_is(tmp_path):
    cut = {"image_id": 1, "category_id": 2, "bbox": [0, 40, 6, 19], "radius_px": 10.0, "num_keypoints": 0}
    corner = {**cut, "bbox": [95, 72, 5, 8], "radius_px": 10.0}
    document = {
        "images": [{"id": 1, "file_name": "a.mrc", "width": 100, "height": 80}],
        "categories": [{"id": 2, "name": "hole/usable"}],
        "annotations": [cut, corner],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    (image,) = read_labels(tmp_path)
    assert [(hole.row_px, hole.col_px) for hole in image.holes] == [(49.0, -4.5), (81.5, 104.5)]


def test_what_is_held_out_shows_other_specimens(folder):
    images = [replace(image, group=f"grid {n % 3}") for n, image in enumerate(read_labels(folder) * 3)]
    learnt, judged = held_out(images, 0.3, seed=5)
    assert learnt
    assert judged
    assert {image.group for image in learnt}.isdisjoint(image.group for image in judged)
    assert held_out(images, 0.3, seed=5) == (learnt, judged)
    with pytest.raises(BadInput, match="one specimen"):
        held_out([replace(image, group="same") for image in images], 0.3, seed=5)
    with pytest.raises(BadInput, match="of a level that this learns from"):
        held_out([], 0.3, seed=5)


def task_of(folder):
    learnt, judged = held_out(read_labels(folder), 0.2, seed=1)
    return HoleMapTask(learnt, judged)


def test_training_lowers_the_loss(folder, tmp_path):
    task = task_of(folder)
    network = fresh(task, 1)
    same = task.draw(np.random.default_rng(0), 6)
    with torch.no_grad():
        before = float(task.loss(network, same))
    plan = replace(PLAN, steps=14, learning_rate=4e-3)
    assert len(list(train(task, network, plan, tmp_path / "run", CPU))) == 14
    with torch.no_grad():
        after = float(task.loss(network.train(), same))
    assert after < 0.8 * before


def test_a_training_that_goes_on_ends_as_if_never_cut_off(folder, tmp_path):
    task = task_of(folder)
    whole, parts = fresh(task, 1), fresh(task, 1)
    straight = [done.loss for done in train(task, whole, PLAN, tmp_path / "a", CPU)]
    first = [done.loss for done in train(task, parts, PLAN, tmp_path / "b", CPU, until=5)]
    again = fresh(task, 99)
    rest = [done.loss for done in train(task, again, PLAN, tmp_path / "b", CPU)]
    assert first + rest == straight
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_checkpoint_of_another_plan_or_damaged_is_refused(folder, tmp_path):
    task = task_of(folder)
    list(train(task, fresh(task, 1), replace(PLAN, steps=1), tmp_path / "run", CPU))
    with pytest.raises(BadInput, match="another plan"):
        list(train(task, fresh(task, 1), PLAN, tmp_path / "run", CPU))
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"nothing of the kind")
    with pytest.raises(BadInput, match="remove it"):
        list(train(task, fresh(task, 1), PLAN, tmp_path / "run", CPU))


def test_a_run_writes_weights_and_card_and_can_be_trained_further(folder, tmp_path):
    images, plan = read_labels(folder), replace(PLAN, steps=2)
    run = prepared(HOLES, images, "three pictures", plan, tmp_path / "one", "cpu", None)
    list(run.steps())
    path, card = run.finish()
    said = json.loads(path.with_suffix(".json").read_text())
    assert said["metrics"] == dict(card.metrics)
    assert said["plan"]["seed"] == 4
    assert said["images"] + said["held_out"] == 3
    assert "three pictures" in path.with_suffix(".md").read_text()
    further = prepared(HOLES, images, "the same", plan, tmp_path / "two", "cpu", path)
    assert set(further.before) == set(card.metrics)
    list(further.steps())
    assert further.finish()[1].before == further.before


def test_what_is_rare_is_both_learnt_from_and_held_out(tmp_path, draw_holes):
    """Of twelve specimens two show holes that are fit: most splits would hold out none of them."""
    rng = np.random.default_rng(4)
    images = []
    for number in range(12):
        drawn = draw_holes(rng, shape=(160, 180), radius=12.0, pitch=50.0, missing=0.0)
        write_mrc(tmp_path / f"{number}.mrc", drawn.pixels, 100.0)
        word = "good" if number < 2 else "empty"
        marks = tuple(HoleMark(row, col, 12.0, word) for row, col in drawn.whole)
        images.append(LabelledImage(tmp_path / f"{number}.mrc", "hole", 100.0, f"grid {number}", marks, ()))
    kind = HOLE_SCORES["hole-scores"]
    for seed in range(5):
        run = prepared(kind, images, "drawn", Plan(seed, 1, 4), tmp_path, "cpu", None)
        assert sum(run.counts) == 12
    images.pop(1)
    with pytest.raises(BadInput, match="on two specimens at least"):
        prepared(kind, images, "drawn", Plan(0, 1, 4), tmp_path, "cpu", None)


def test_sites_without_a_hole_are_not_learnt_as_holes(folder):
    images = read_labels(folder)

    def called(word):
        return [replace(image, holes=tuple(replace(hole, category=word) for hole in image.holes)) for image in images]

    HoleMapTask(called("good")[:2], called("good")[2:])
    for word in ("missing", "covered"):
        with pytest.raises(BadInput, match="show no holes to learn from"):
            HoleMapTask(called(word)[:2], called(word)[2:])


@pytest.mark.parametrize(("kind", "command"), [(HOLES, "holes"), (HOLE_SCORES["hole-scores"], "hole-scores")])
def test_what_ships_is_what_the_documented_command_makes(kind, command):
    said = json.loads(network_weights.shipped(kind.name).with_suffix(".json").read_text())
    page = (Path(__file__).parents[2] / "docs/finders/network-holes.md").read_text()
    asked = re.search(rf"epicycle train {command} --from-simulator (\d+) --seed (\d+)(?: --steps (\d+))?", page)
    assert asked is not None
    images, seed, steps = int(asked[1]), int(asked[2]), int(asked[3] or kind.steps)
    assert said["plan"] == {"seed": seed, "steps": steps, "batch": kind.batch, "learning_rate": kind.learning_rate}
    assert said["data"] == f"the simulator, seed {seed}"
    assert said["images"] + said["held_out"] == images
    assert "holds its starting values" not in said["limits"]


def test_evened_film_has_one_level_and_one_contrast(draw_holes):
    drawn = draw_holes(np.random.default_rng(3), shape=(240, 320), radius=12.0, pitch=44.0)
    film = np.ones(drawn.pixels.shape, np.float32)
    image = (drawn.pixels - drawn.pixels.mean()) / drawn.pixels.std()
    shade = np.linspace(0.6, 2.0, 320, dtype=np.float32)
    plain, shaded = evened(image, film, 12.0), evened(image * shade + 3 * shade, film, 12.0)
    assert np.abs(plain[30:-30, 30:-30] - shaded[30:-30, 30:-30]).mean() < 0.15
    barred = film.copy()
    barred[:, 200:] = 0
    dark = np.where(barred > 0, image, np.float32(-8))
    # A bar tells nothing of the level of the film beside it.
    assert np.abs(evened(dark, barred, 12.0)[:, 150:190] - plain[:, 150:190]).mean() < 0.15
    assert np.isfinite(evened(image, 0 * film, 12.0)).all()


def test_weights_that_are_none_are_refused_in_words(tmp_path):
    good = tmp_path / "good.safetensors"
    network = HoleMaps()
    network_weights.save(network, good, ARCHITECTURE)
    network_weights.load(HoleMaps(), good, ARCHITECTURE)
    with pytest.raises(BadInput, match="no weights at"):
        network_weights.load(network, tmp_path / "gone.safetensors", ARCHITECTURE)
    with pytest.raises(BadInput, match=r"holds weights of hole-map-2"):
        network_weights.load(network, good, "another")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:-1000])
    pickled = tmp_path / "pickled.safetensors"
    torch.save(network.state_dict(), pickled)
    for bad in (cut, pickled):
        with pytest.raises(BadInput, match="safetensors file"):
            network_weights.load(network, bad, ARCHITECTURE)
    other = tmp_path / "other.safetensors"
    network_weights.save(torch.nn.Linear(2, 2), other, ARCHITECTURE)
    with pytest.raises(BadInput, match="does not hold the tensors"):
        network_weights.load(network, other, ARCHITECTURE)


def test_a_device_that_is_not_there_is_named():
    assert device_of("cpu") == CPU
    with pytest.raises(BadInput, match="cpu and cuda"):
        device_of("tpu")


def test_calibration_makes_scores_what_they_say():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    a, b = platt(logits, truth)
    assert (a, b) == pytest.approx((0.5, -1.0), abs=0.12)
    said, wrong = 1 / (1 + np.exp(-(a * logits + b))), 1 / (1 + np.exp(-logits))
    assert calibration_error(said, truth) < 0.03 < calibration_error(wrong, truth)
    assert sorting(said, truth) == pytest.approx(sorting(logits, truth))
    assert sorting(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == 0.75
    assert platt(np.array([1.0, 2.0]), np.array([True, True])) == (1.0, 0.0)


def test_each_hole_counts_once_and_a_hole_whose_middle_is_outside_does_not():
    """Middles between two cells, a hill cut by the border, a mark on nothing, a hole without a mark."""
    rows, cols = np.mgrid[:40, :40].astype(np.float32)

    def hill(row, col):
        return np.exp(-0.5 * ((rows - row) ** 2 + (cols - col) ** 2) / 1.2**2).astype(np.float32)

    centre = np.max([hill(10.45, 10.45), hill(10, 25), hill(30, 30), hill(-1.3, 20)], axis=0)
    heat = 12 * np.max([hill(11, 10), hill(10, 26), hill(0, 20), hill(25, 5)], axis=0) - 8
    logits, right, best, true = marks_by_truth(heat, centre, np.ones_like(centre, bool))
    assert sorted(zip(*(axis.tolist() for axis in true), strict=True)) == [(10, 10), (10, 25), (30, 30)]
    assert len(logits) == 4
    assert right.tolist().count(False) == 1
    assert len(best) == 3
    assert np.isneginf(best).sum() == 1
    assert (best > 0).sum() == 2
