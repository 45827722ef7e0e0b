"""Every mode of the standard, both byte orders, extended headers, gzip: the pixels are those that were written."""

import gzip
import struct

import mrcfile
import numpy as np
import pytest

from epicycle.files import mrc
from epicycle.files.mrc import BadImage, is_whole, read_frames, read_header, read_image

pytestmark = pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")

ROWS, COLS = 20, 25
TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}


def values(mode, sections=1):
    numbers = np.random.default_rng(mode).integers(0, 16, (sections, ROWS, COLS))
    return numbers if mode == 101 else (numbers - (8 if mode != 6 else 0)).astype(TYPES[mode])


def by_hand(path, mode, order="<", sections=1, extended=b"", pixels=None):
    """Write a file from the standard's words, not with any library of this project."""
    pixels = values(mode, sections) if pixels is None else pixels
    header = bytearray(1024)
    struct.pack_into(order + "10i", header, 0, COLS, ROWS, sections, mode, 0, 0, 0, COLS, ROWS, sections)
    struct.pack_into(order + "6f", header, 40, COLS * 4.5, ROWS * 4.5, 4.5, 90, 90, 90)
    struct.pack_into(order + "3i", header, 64, 1, 2, 3)
    struct.pack_into(order + "2i", header, 88, 1, len(extended))
    header[104:108] = b"FEI1" if extended else b"\0\0\0\0"
    header[208:212], header[212:214] = b"MAP ", b"\x44\x44" if order == "<" else b"\x11\x11"
    if mode == 101:
        even = np.pad(pixels, ((0, 0), (0, 0), (0, COLS % 2))).astype(np.uint8)
        body = (even[..., ::2] | even[..., 1::2] << 4).tobytes()
    else:
        body = pixels.astype(order + TYPES[mode]).tobytes()
    path.write_bytes(bytes(header) + extended + body)
    return pixels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", [0, 1, 2, 4, 6, 12, 101])
def test_every_mode_in_both_byte_orders_behind_an_extended_header(tmp_path, mode, order, packed):
    path = tmp_path / "image.mrc"
    pixels = by_hand(path, mode, order, extended=b"\x07" * 768)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    seen, pixel_size_a = read_image(path)
    np.testing.assert_array_equal(seen, pixels[0].real.astype(np.float32))
    assert seen.dtype == np.float32
    assert pixel_size_a == pytest.approx(4.5)
    assert read_header(path).zipped is packed
    assert is_whole(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mode", [1, 101])
def test_sections_of_a_stack(tmp_path, mode, packed):
    path = tmp_path / "stack.mrc"
    pixels = by_hand(path, mode, sections=3)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    for number in range(3):
        np.testing.assert_array_equal(read_image(path, number)[0], pixels[number])
    np.testing.assert_array_equal(read_frames(path), pixels)
    with pytest.raises(BadImage, match=r"stack of 3 images.*--section, 0 to 2"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".mrc", ".mrc.gz"])
@pytest.mark.parametrize("mode", [0, 1, 2, 4, 6, 12])
def test_what_mrcfile_writes(tmp_path, mode, suffix):
    path = tmp_path / f"other{suffix}"
    pixels = values(mode)[0]
    with mrcfile.new(path, compression="gzip" if suffix.endswith("gz") else None) as file:
        file.set_data(pixels)
        file.set_extended_header(np.arange(64, dtype="u1"))
    np.testing.assert_array_equal(read_image(path)[0], pixels.real.astype(np.float32))


def test_complex_numbers_with_imaginary_parts_give_their_moduli(tmp_path):
    path = tmp_path / "transform.mrc"
    rng = np.random.default_rng(3)
    pixels = (rng.normal(size=(1, ROWS, COLS)) + 1j * rng.normal(size=(1, ROWS, COLS))).astype(np.complex64)
    by_hand(path, 4, pixels=pixels)
    np.testing.assert_allclose(read_image(path)[0], np.abs(pixels[0]), rtol=1e-6)


@pytest.mark.parametrize("mode", [0, 1, 2, 4, 6, 12, 101])
def test_a_byte_less_is_truncated(tmp_path, mode):
    path = tmp_path / "cut.mrc"
    by_hand(path, mode)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadImage, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_packed_file_that_is_cut_is_refused_in_a_sentence(tmp_path, part):
    path = tmp_path / "cut.mrc.gz"
    by_hand(path, 2, pixels=np.random.default_rng(1).normal(size=(1, ROWS, COLS)).astype(np.float32))
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[: int(part * len(packed))])
    with pytest.raises(BadImage, match=r"truncated"):
        read_image(path)
    assert not is_whole(path)


def test_a_packed_file_that_promises_more_than_it_holds(tmp_path):
    path = tmp_path / "short.mrc.gz"
    by_hand(path, 2)
    path.write_bytes(gzip.compress(path.read_bytes()[:-40]))
    with pytest.raises(BadImage, match=r"truncated: 1960 of 2000 bytes"):
        read_image(path)


def test_what_would_not_fit_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "large.mrc.gz"
    by_hand(path, 2)
    path.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr(mrc, "MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(BadImage, match="unpack it first"):
        read_image(path)


@pytest.mark.parametrize("meant", ["0 to 255", "-128 to 127"])
def test_bytes_that_say_nothing_are_taken_so_that_neighbours_agree(tmp_path, meant):
    along = np.linspace(0, 6, COLS)[None] + np.linspace(0, 4, ROWS)[:, None]
    wave = np.rint(100 * np.sin(along))
    signed = wave + 128 if meant == "0 to 255" else wave
    path = tmp_path / "a.mrc"
    by_hand(path, 0, pixels=signed.astype(np.uint8 if meant == "0 to 255" else np.int8).view(np.int8)[None])
    assert np.array_equal(read_image(path)[0], signed)
