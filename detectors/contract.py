"""What every finder must hold to: test classes for plug-in authors.

Subclass one of them in a test module, say how to make your finder, and run pytest; an image of your own kind may be
given too. Plain asserts, no fixtures needed.

    class TestMine(SquareFinderContract):
        def finder(self):
            return my_squares({})
"""

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from ..hardware.records import Image, Pixels
from .records import HoleDetections, HoleFinder, Site, SquareClass, SquareDetections, SquareFinder

Detections = SquareDetections | HoleDetections


class DetectorContract:
    """What square and hole finders have in common; use one of the two classes below."""

    @abstractmethod
    def finder(self) -> SquareFinder | HoleFinder:
        """Make the finder under test."""
        raise NotImplementedError("a contract test says how its finder is made")

    def picture(self) -> Image:
        """Give an image on which the finder finds something."""
        raise NotImplementedError("a contract test says on which image its finder finds something")

    def found_in(self, answer: Detections) -> int:
        """Say how many things an answer holds."""
        return len(answer.squares if isinstance(answer, SquareDetections) else answer.holes)

    def test_it_says_who_it_is(self) -> None:
        """Name and version go to the record with every answer."""
        finder = self.finder()
        assert isinstance(finder.name, str)
        assert finder.name
        assert isinstance(finder.version, str)
        assert finder.version

    def test_it_finds_something_where_something_is(self) -> None:
        """An answer that is not empty gives no reason for being so."""
        answer = self.finder().find(self.picture())
        assert self.found_in(answer) > 0
        assert answer.reason == ""

    def test_the_same_image_gives_the_same_answer(self) -> None:
        """Twice by one finder, once by another of its kind."""
        finder, image = self.finder(), self.picture()
        first = finder.find(image)
        assert finder.find(image) == first
        assert self.finder().find(image) == first

    def test_the_image_is_left_as_it_was(self) -> None:
        """Pixels belong to the caller; a read-only array is enough."""
        image = self.picture()
        kept = image.pixels.copy()
        locked = image.pixels.copy()
        locked.flags.writeable = False
        self.finder().find(replace(image, pixels=locked))
        self.finder().find(image)
        assert np.array_equal(image.pixels, kept)

    def test_the_pixel_size_is_handed_on(self) -> None:
        """Known or not."""
        image = self.picture()
        for pixel_size_a in (None, 500.0):
            answer = self.finder().find(replace(image, pixel_size_a=pixel_size_a))
            assert answer.pixel_size_a == pixel_size_a

    def test_a_poor_image_is_answered_with_a_reason(self) -> None:
        """Blank, tiny, without numbers, pure noise: no exception, an empty list, the reason in words."""
        for name, pixels in poor_images().items():
            answer = self.finder().find(Image(pixels, 500.0, None, name))
            assert self.found_in(answer) == 0, f"something found on an image that is {name}"
            assert len(answer.reason.split()) > 2, f"no reason in words on an image that is {name}"


class SquareFinderContract(DetectorContract):
    """What a square finder must hold to."""

    @abstractmethod
    def finder(self) -> SquareFinder:
        """Make the finder under test."""
        raise NotImplementedError("a contract test says how its finder is made")

    def picture(self) -> Image:
        """Give a mesh of 3 × 3 openings."""
        return Image(mesh_picture(np.random.default_rng(7)), 1000.0, None, "mesh")

    def test_each_square_is_complete(self) -> None:
        """Corners around the middle, score in 0..1, positive area, a class, numbers that are numbers."""
        for square in self.finder().find(self.picture()).squares:
            assert len(square.corners_px) == 4
            middle = np.mean(square.corners_px, axis=0)
            assert np.allclose(middle, (square.row_px, square.col_px), atol=0.6 * np.sqrt(square.area_px))
            assert 0 <= square.score <= 1
            assert square.area_px > 0
            assert isinstance(square.category, SquareClass)
            assert np.isfinite([square.mean, *square.features.values()]).all()

    def test_corners_go_round(self) -> None:
        """Neighbouring corners share a side: the polygon has the box's area, not a bow tie's."""
        for square in self.finder().find(self.picture()).squares:
            rows, cols = np.array(square.corners_px).T
            area = 0.5 * abs(float(rows @ np.roll(cols, 1) - cols @ np.roll(rows, 1)))
            assert area >= 0.8 * square.area_px

    def test_the_angle_is_a_turn_below_a_right_angle(self) -> None:
        """A square mesh looks the same after 90°."""
        assert 0 <= self.finder().find(self.picture()).grid_angle_deg < 90


class HoleFinderContract(DetectorContract):
    """What a hole finder must hold to."""

    @abstractmethod
    def finder(self) -> HoleFinder:
        """Make the finder under test."""
        raise NotImplementedError("a contract test says how its finder is made")

    def picture(self) -> Image:
        """Give film with a square lattice of holes."""
        return Image(holes_picture(np.random.default_rng(8)), 500.0, None, "holes")

    def test_each_site_is_complete(self) -> None:
        """In the image, score in 0..1, a status, numbers that are numbers."""
        image = self.picture()
        for hole in self.finder().find(image).holes:
            assert -0.5 <= hole.row_px <= image.pixels.shape[0] - 0.5
            assert -0.5 <= hole.col_px <= image.pixels.shape[1] - 0.5
            assert 0 <= hole.score <= 1
            assert hole.radius_px > 0
            assert isinstance(hole.status, Site)
            assert np.isfinite([hole.mean, *hole.features.values()]).all()

    def test_a_site_is_told_once(self) -> None:
        """No two entries nearer than a radius."""
        holes = self.finder().find(self.picture()).holes
        places = np.array([(hole.row_px, hole.col_px) for hole in holes])
        distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        np.fill_diagonal(distance, np.inf)
        assert distance.min() > min(hole.radius_px for hole in holes)

    def test_holes_stand_on_the_lattice_that_is_told(self) -> None:
        """Origin and steps lead to the sites, if there is a lattice."""
        answer = self.finder().find(self.picture())
        if answer.lattice is None:
            return
        assert 0 <= answer.lattice.confidence <= 1
        basis = np.array([answer.lattice.a_px, answer.lattice.b_px])
        places = np.array([(hole.row_px, hole.col_px) for hole in answer.holes])
        numbers = (places - answer.lattice.origin_px) @ np.linalg.inv(basis)
        assert np.median(np.abs(numbers - np.rint(numbers))) < 0.15


def poor_images() -> dict[str, Pixels]:
    """Images on which nothing is to be found, named by what is wrong with them."""
    rng = np.random.default_rng(11)
    side = 256
    holed = rng.poisson(50, (side, side)).astype(np.float32)
    holed[:, : side // 2 + 8] = np.nan
    return {
        "all zero": np.zeros((side, side), np.float32),
        "of one value": np.full((side, side), 100, np.float32),
        "16 px wide": rng.poisson(100, (16, 16)).astype(np.float32),
        "one pixel": np.ones((1, 1), np.float32),
        "without numbers": np.full((side, side), np.nan, np.float32),
        "mostly without numbers": holed,
        "Gaussian noise": rng.normal(0, 1, (side, side)).astype(np.float32),
        "Poisson noise": rng.poisson(100, (side, side + 60)).astype(np.float32),
        "a gradient": np.tile(np.arange(side, dtype=np.float32), (side, 1)),
    }


def mesh_picture(rng: np.random.Generator, opening: int = 60, bar: int = 30) -> Pixels:
    """Draw 3 × 3 bright openings between dark bars, with counting noise."""
    size = 3 * opening + 4 * bar
    counts = np.full((size, size), 4.0)
    for i in range(3):
        for j in range(3):
            row, col = bar + i * (opening + bar), bar + j * (opening + bar)
            counts[row : row + opening, col : col + opening] = 90.0
    return rng.poisson(counts).astype(np.float32)


def holes_picture(rng: np.random.Generator, radius: float = 11.0, pitch: float = 45.0, side: int = 320) -> Pixels:
    """Draw a square lattice of round holes, turned by 17°, with counting noise."""
    rows, cols = np.indices((side, side)) - side / 2 + 3.3
    turn = np.deg2rad(17)
    along, across = rows * np.cos(turn) - cols * np.sin(turn), rows * np.sin(turn) + cols * np.cos(turn)
    away = np.hypot(along - pitch * np.rint(along / pitch), across - pitch * np.rint(across / pitch))
    counts = rng.poisson(40.0 + 30.0 * np.clip(radius + 0.5 - away, 0, 1))
    return np.asarray(counts, np.float32)
