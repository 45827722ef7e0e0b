"""TIFF, PNG and JPEG: what was written comes back, what is damaged is refused in one sentence."""

import gzip

import numpy as np
import pytest
import tifffile
from PIL import Image

from epicycle.files.images import read_picture
from epicycle.files.mrc import BadImage, write_mrc


def noise(dtype="u2", shape=(24, 40), seed=1):
    return np.random.default_rng(seed).normal(100, 8, shape).astype(dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_tiff_of_every_kind_of_number(tmp_path, dtype, order):
    path, pixels = tmp_path / "image.tif", noise(dtype)
    tifffile.imwrite(path, pixels, byteorder=order)
    seen = read_picture(path)
    np.testing.assert_array_equal(seen.pixels, pixels.astype(np.float32))
    assert (seen.sections, seen.figure, seen.pixel_size_a) == (1, False, None)


@pytest.mark.parametrize("how", ["tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_compressed_tiff(tmp_path, dtype, how):
    path, pixels = tmp_path / "image.tif", noise(dtype)
    Image.fromarray(pixels).save(path, compression=how)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels.astype(np.float32))


def test_tiff_compressed_as_photographs_are(tmp_path):
    path = tmp_path / "image.tif"
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    Image.fromarray(ramp).save(path, compression="jpeg", quality=95)
    assert np.abs(read_picture(path).pixels - ramp).max() < 6


@pytest.mark.parametrize("how", [None, "tiff_lzw"])
def test_pages_are_sections(tmp_path, how):
    path, pages = tmp_path / "pages.tif", [noise(seed=n) for n in range(3)]
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest, compression=how)
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(read_picture(path, number).pixels, page.astype(np.float32))
    for section, said in [(None, r"stack of 3 images.*--section, 0 to 2"), (3, "no number 3")]:
        with pytest.raises(BadImage, match=said):
            read_picture(path, section)


def test_imagej_s_stack_is_read_with_its_pixel_size(tmp_path):
    path, stack = tmp_path / "stack.tif", np.stack([noise(seed=n) for n in range(4)])
    tifffile.imwrite(path, stack, imagej=True, resolution=(20.0, 20.0), metadata={"unit": "um"})
    seen = read_picture(path, 2)
    np.testing.assert_array_equal(seen.pixels, stack[2].astype(np.float32))
    assert seen.sections == 4
    assert seen.pixel_size_a == pytest.approx(500)


@pytest.mark.parametrize(("per_cm", "expected"), [(2e6, 50.0), (1e9, 0.1), (28.0, None)])
def test_resolutions_of_microscopes_are_believed_those_of_printers_not(tmp_path, per_cm, expected):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, noise(), resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    assert read_picture(path).pixel_size_a == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("how", ["raw", "tiff_lzw", "tiff_deflate"])
def test_tiff_cut_anywhere(tmp_path, how):
    path = tmp_path / "cut.tif"
    Image.fromarray(noise(shape=(64, 64))).save(path, compression=how)
    raw = path.read_bytes()
    for part in (0.01, 0.3, 0.6, 0.95):
        path.write_bytes(raw[: int(part * len(raw))])
        with pytest.raises(BadImage, match="TIFF") as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)


def test_png_and_jpeg_are_figures(tmp_path):
    ramp = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)
    for name, pixels, within in [
        ("grey.png", ramp, 0),
        ("deep.png", ramp.astype(np.uint16) * 200, 0),
        ("colour.png", np.dstack([ramp] * 3), 1),
        ("seen-through.png", np.dstack([ramp, ramp, ramp, ramp]), 1),
        ("photo.jpg", ramp, 6),
    ]:
        Image.fromarray(pixels).save(tmp_path / name)
        seen = read_picture(tmp_path / name)
        assert (seen.figure, seen.pixel_size_a, seen.pixels.shape) == (True, None, ramp.shape)
        wanted = pixels if pixels.ndim == 2 else pixels[..., 0]
        assert np.abs(seen.pixels - wanted).max() <= within, name


@pytest.mark.parametrize("name", ["figure.png", "figure.jpg"])
def test_a_figure_that_is_cut_is_refused(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(noise("u1", (200, 200))).save(path)
    raw = path.read_bytes()
    for part in (0.02, 0.5, 0.9):
        path.write_bytes(raw[: int(part * len(raw))])
        with pytest.raises(BadImage, match="truncated or damaged"):
            read_picture(path)
    path.write_bytes(raw)
    with pytest.raises(BadImage, match="no number 1"):
        read_picture(path, 1)


def test_a_figure_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(noise("u1", (40, 40))).save(tmp_path / "bomb.png")
    with pytest.raises(BadImage, match="too large"):
        read_picture(tmp_path / "bomb.png")


def test_what_is_wrong_with_pixels_is_said_for_every_kind(tmp_path):
    broken = noise("f4")
    broken[3, 4] = np.nan
    for pixels, said in [
        (broken, "not numbers"),
        (np.full((20, 20), 5, "u2"), "every pixel is 5"),
        (noise()[:1], "1 "),
    ]:
        tifffile.imwrite(tmp_path / "image.tif", pixels)
        with pytest.raises(BadImage, match=said):
            read_picture(tmp_path / "image.tif")


def test_the_name_s_ending_does_not_matter(tmp_path):
    write_mrc(tmp_path / "image.tif", noise("f4"), 3.0)
    (tmp_path / "image").write_bytes(gzip.compress((tmp_path / "image.tif").read_bytes()))
    assert read_picture(tmp_path / "image.tif").pixel_size_a == pytest.approx(3.0)
    np.testing.assert_array_equal(read_picture(tmp_path / "image").pixels, noise("f4"))
    for path in (tmp_path / "nowhere.tif", tmp_path):
        with pytest.raises(BadImage):
            read_picture(path)
    (tmp_path / "words.png").write_text("no picture " * 200)
    with pytest.raises(BadImage, match="not an MRC file"):
        read_picture(tmp_path / "words.png")
