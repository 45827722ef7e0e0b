"""MRC files: what is written comes back, what is damaged is refused in one sentence."""

import io
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epicycle.files import mrc
from epicycle.files.mrc import BadImage, read_frames, read_image, read_metadata, write_mrc

pytestmark = pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")
"""mrcfile, which checks us here, does what later versions of numpy frown on."""

IMAGES = Path(__file__).parents[2].parent / "shared" / "data" / "images"


def noise(rows=20, cols=24, dtype=np.float32):
    return np.random.default_rng(1).normal(100, 20, (rows, cols)).astype(dtype)


def header_of(path):
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_what_is_written_comes_back_and_is_valid(tmp_path, dtype):
    path = tmp_path / "image.mrc"
    pixels = noise(dtype=dtype)
    write_mrc(path, pixels, 3.5, {"shot": {"dose": np.float32(1.5)}, "of": Path("grid")})
    back, pixel_size = read_image(path)
    np.testing.assert_array_equal(back, pixels.astype(np.float32))
    assert back.dtype == np.float32
    assert pixel_size == pytest.approx(3.5)
    assert read_metadata(path) == {"shot": {"dose": 1.5}, "of": "grid"}
    report = io.StringIO()
    assert mrcfile.validate(path, print_file=report), report.getvalue()
    with mrcfile.open(path) as other:
        np.testing.assert_array_equal(other.data, pixels)
        assert other.voxel_size.x == pytest.approx(3.5)


def test_movie_comes_back_frame_by_frame_and_is_valid(tmp_path):
    path = tmp_path / "movie.mrc"
    movie = np.random.default_rng(2).poisson(1, (5, 32, 48)).astype(np.uint8)
    write_mrc(path, movie, 1.0)
    frames = read_frames(path)
    assert frames.dtype == np.uint16
    np.testing.assert_array_equal(frames, movie)
    assert mrcfile.validate(path, print_file=io.StringIO())
    second, pixel_size = read_image(path, section=1)
    np.testing.assert_array_equal(second, movie[1])
    assert pixel_size == 1.0, "1 Å is believed where we wrote it ourselves"


def test_large_movie_stays_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(mrc, "MAPPED_FROM_BYTES", 1000)
    write_mrc(tmp_path / "movie.mrc", np.ones((3, 32, 32), np.float32), 2.0)
    frames = read_frames(tmp_path / "movie.mrc")
    assert isinstance(frames, np.memmap)
    assert not frames.flags.writeable


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2"])
def test_both_byte_orders_written_by_mrcfile(tmp_path, order, dtype):
    path = tmp_path / "other.mrc"
    pixels = noise().astype(order + dtype)
    with mrcfile.new(path, data=pixels) as file:
        file.voxel_size = 2.25
    back, pixel_size = read_image(path)
    np.testing.assert_array_equal(back, pixels.astype(np.float32))
    assert pixel_size == pytest.approx(2.25)
    frames = read_frames(path)
    assert frames.shape == (1, 20, 24)
    assert frames.dtype.isnative


@pytest.mark.parametrize("order", ["<", ">"])
def test_missing_stamp_and_name_are_forgiven_when_the_rest_makes_sense(tmp_path, order):
    path = tmp_path / "old.mrc"
    pixels = noise(dtype=np.int16)
    with mrcfile.new(path, data=pixels.astype(order + "i2")):
        pass
    raw = header_of(path)
    raw[208:216] = bytes(8)
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_image(path)[0], pixels.astype(np.float32))


def test_unsigned_bytes_of_imod(tmp_path):
    path = tmp_path / "bytes.mrc"
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20) % 256
    write_mrc(path, pixels.astype(np.uint8).view(np.int8), None)
    raw = header_of(path)
    raw[152:160] = np.array([1146047817, 0], "<i4").tobytes()
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_image(path)[0], pixels.astype(np.float32))


@pytest.mark.parametrize("scale", [None, 1.0, -3.0, float("nan"), float("inf")])
def test_pixel_size_that_says_nothing_is_none(tmp_path, scale):
    path = tmp_path / "image.mrc"
    with mrcfile.new(path, data=noise()) as file:
        file.header.cella = (0, 0, 0) if scale is None else (24 * scale, 20 * scale, scale)
    assert read_image(path)[1] is None


def refused(path, *words, read=read_image):
    with pytest.raises(BadImage) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    for word in words:
        assert re.search(word, said), said
    return said


def test_no_such_file(tmp_path):
    refused(tmp_path / "none.mrc", "no such file")
    refused(tmp_path, "folder")
    assert not mrc.is_whole(tmp_path / "none.mrc")


def test_empty_short_and_foreign_files(tmp_path):
    path = tmp_path / "bad.mrc"
    for content, word in [
        (b"", "empty"),
        (b"\0" * 100, "truncated"),
        (b"PNG? no, words.\n" * 200, "not an MRC"),
        (b"\x89PNG\r\n" + b"\0" * 2000, "PNG"),
        (b"II*\0" + b"\0" * 2000, "TIFF"),
        (b"\x1f\x8b" + b"\0" * 2000, "gzip"),
        (b"\0" * 4000, "0×0"),
        (b"\xff" * 4000, "not an MRC"),
    ]:
        path.write_bytes(content)
        refused(path, word)
        assert not mrc.is_whole(path)


@pytest.mark.parametrize("kept", [1, 200, 1023, 1024, 1030, 1500, 2000, -1])
def test_cut_anywhere_it_is_truncated_and_not_whole(tmp_path, kept):
    path = tmp_path / "cut.mrc"
    write_mrc(path, noise(), 2.0, {"a": 1})
    assert mrc.is_whole(path)
    path.write_bytes(path.read_bytes()[:kept])
    refused(path, "truncated")
    refused(path, "truncated", read=read_frames)
    assert not mrc.is_whole(path)


def test_sizes_that_are_no_image(tmp_path):
    path = tmp_path / "small.mrc"
    write_mrc(path, np.ones((1, 1), np.float32), 2.0)
    refused(path, "1×1")
    write_mrc(path, noise(15, 64), 2.0)
    refused(path, "64×15")


def test_stack_where_one_is_asked_and_section_that_is_not_there(tmp_path):
    path = tmp_path / "stack.mrc"
    write_mrc(path, np.stack([noise(), noise()]), 2.0)
    refused(path, "stack of 2")
    for section in (2, -1):
        with pytest.raises(BadImage, match="holds 2 images"):
            read_image(path, section)


def test_constant_and_nan(tmp_path):
    path = tmp_path / "dull.mrc"
    write_mrc(path, np.full((20, 20), 7, np.int16), 2.0)
    refused(path, "every pixel is 7")
    for value in (np.nan, np.inf):
        pixels = noise()
        pixels[3, 4] = value
        write_mrc(path, pixels, 2.0)
        refused(path, "holds 1 pixels")


@pytest.mark.parametrize(("mode", "word"), [(3, "complex"), (4, "truncated"), (100, "mode 100"), (5, "mode 5")])
def test_modes_that_are_no_image(tmp_path, mode, word):
    path = tmp_path / "mode.mrc"
    write_mrc(path, noise(), 2.0)
    raw = header_of(path)
    raw[12:16] = np.array([mode], "<i4").tobytes()
    path.write_bytes(raw)
    refused(path, word)


@pytest.mark.parametrize("mode", [-1, 7, 12345])
def test_damaged_mode_is_refused(tmp_path, mode):
    path = tmp_path / "mode.mrc"
    write_mrc(path, noise(), 2.0)
    raw = header_of(path)
    raw[12:16] = np.array([mode], "<i4").tobytes()
    path.write_bytes(raw)
    refused(path, "mode")


@given(garbage=arrays(np.uint8, 224), keep=st.integers(0, 223))
@settings(max_examples=150, deadline=None)
def test_no_header_however_damaged_ends_in_anything_but_a_sentence(tmp_path_factory, garbage, keep):
    path = tmp_path_factory.getbasetemp() / "garbage.mrc"
    write_mrc(path, noise(), 2.0)
    raw = header_of(path)
    raw[keep:224] = garbage.tobytes()[keep:]
    path.write_bytes(raw)
    try:
        pixels, pixel_size = read_image(path)
    except BadImage:
        return
    assert pixels.shape[0] >= mrc.SMALLEST_PX
    assert pixel_size is None or pixel_size > 0


def test_writing_refuses_what_is_no_image(tmp_path):
    for pixels in (np.ones(5), np.ones((0, 5)), np.ones((4, 4), np.complex64), np.ones((1, 2, 3, 4))):
        with pytest.raises(ValueError, match="MRC file takes"):
            write_mrc(tmp_path / "no.mrc", pixels, 1.0)
    with pytest.raises(ValueError, match="pixel size"):
        write_mrc(tmp_path / "no.mrc", noise(), 0.0)
    assert list(tmp_path.iterdir()) == []


def test_same_pixels_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_mrc(tmp_path / name, noise(), 2.0, {"b": 1, "a": 2})
    assert mrc.sha256(tmp_path / "a") == mrc.sha256(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "shape", "pixel_size"),
    [
        ("lowmag_20may08a.mrc", (1024, 1024), None),
        ("square_leginon.mrc", (1024, 1024), 550.0),
        ("medmag_21feb25a_1440x1023.mrc", (1023, 1440), 86.4),
        ("micrograph_07jan05b_binned.mrc", (512, 512), None),
    ],
)
def test_real_files(name, shape, pixel_size):
    if not IMAGES.is_dir():
        pytest.skip(f"the shared images are not at {IMAGES}")
    pixels, found = read_image(IMAGES / name)
    assert pixels.shape == shape
    assert found == (None if pixel_size is None else pytest.approx(pixel_size, rel=1e-3))
