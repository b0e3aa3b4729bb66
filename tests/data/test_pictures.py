"""Pictures of all kinds become bytes of one kind, and damaged ones are named."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import load_picture
from chainrule.data.picture_sizes import enough_pixels, read_size
from chainrule.errors import ArgumentError, DependencyError, FormatError
from chainrule.functional.resize import resize

Image = pytest.importorskip("PIL.Image")
numbers = np.random.default_rng(0)
COLORS = numbers.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def encoded(image: Any, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def smooth(height: int, width: int) -> Any:
    """Soft transitions, which survive JPEG and resampling."""
    y, x = np.mgrid[0:height, 0:width]
    parts = (x / width, y / height, (x + y) / (width + height))
    return np.stack([255 * part for part in parts], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF", "TGA"])
def test_lossless_files_give_their_bytes(form: str) -> None:
    found = load_picture(encoded(Image.fromarray(COLORS), form))
    np.testing.assert_array_equal(found, COLORS)
    assert found.dtype == np.uint8


def test_a_picture_comes_from_a_path_bytes_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "größe 1.png"
    path.write_bytes(encoded(Image.fromarray(COLORS)))
    file = io.BytesIO(path.read_bytes())
    for source in (path, str(path), path.read_bytes(), file):
        np.testing.assert_array_equal(load_picture(source), COLORS)
    with pytest.raises(ArgumentError, match="path, bytes"):
        load_picture(3)


def test_palettes_grey_and_single_bits() -> None:
    palette = Image.fromarray(COLORS).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(load_picture(encoded(palette)), expected)
    grey = COLORS[:, :, :1]
    found = load_picture(encoded(Image.fromarray(grey[:, :, 0])))
    np.testing.assert_array_equal(found, np.repeat(grey, 3, axis=2))
    bits = load_picture(encoded(Image.fromarray(grey[:, :, 0] > 99)))
    np.testing.assert_array_equal(bits[:, :, 0], np.where(grey[:, :, 0] > 99, 255, 0))


def test_what_is_transparent_shows_white_unless_it_is_kept() -> None:
    pixels = np.dstack([COLORS, np.full((6, 8), 255, np.uint8)])
    pixels[0, 0], pixels[1, 1] = (10, 20, 30, 0), (0, 0, 0, 128)
    content = encoded(Image.fromarray(pixels))
    found = load_picture(content)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[1, 1].astype(int) - 127).max() <= 1
    np.testing.assert_array_equal(found[2:], COLORS[2:])
    np.testing.assert_array_equal(load_picture(content, color_mode="rgba"), pixels)
    grey = load_picture(content, color_mode="grayscale")
    assert grey.shape == (6, 8, 1)
    assert grey[0, 0, 0] == 255


def test_a_transparent_colour_of_a_palette() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([9, 9, 9, 200, 100, 50])
    found = load_picture(encoded(image, "GIF", transparency=0))
    assert found.tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight(form: str) -> None:
    deep = np.array([[0, 257, 32768, 65535]], np.uint16)
    found = load_picture(encoded(Image.fromarray(deep), form), color_mode="grayscale")
    assert found[0, :, 0].tolist() == [0, 1, 128, 255]
    assert load_picture(encoded(Image.fromarray(deep), form)).shape == (1, 4, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_of_32_bits_are_refused(dtype: Any) -> None:
    content = encoded(Image.fromarray(np.ones((2, 2), dtype)), "TIFF")
    with pytest.raises(FormatError, match="no agreed white"):
        load_picture(content)


def test_inks_become_light() -> None:
    inks = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    red = load_picture(encoded(inks, "JPEG", quality=95))[0, 0]
    assert red[0] > 240
    assert red[1:].max() < 15


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (3, 2), shade) for shade in ("red", "blue")]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        content = encoded(
            frames[0], form, save_all=True, append_images=frames[1:], lossless=True
        )
        assert load_picture(content)[0, 0].tolist() == [255, 0, 0], form


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_upright(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(Image.fromarray(smooth(96, 64)), "JPEG", exif=exif, quality=95)
    found = load_picture(content)
    upright = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: np.fliplr(np.rot90(x, -1)),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.flipud(np.rot90(x, -1)),
        8: np.rot90,
    }[turn](smooth(96, 64))
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() < 12
    small = load_picture(content, size=(upright.shape[0] // 8, upright.shape[1] // 8))
    wanted = upright.reshape(*small.shape[:1], 8, small.shape[1], 8, 3).mean((1, 3))
    assert np.abs(small - wanted).max() < 8, "also where less of the JPEG is decoded"


def test_a_strange_orientation_leaves_the_picture_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert load_picture(encoded(Image.fromarray(COLORS), exif=exif)).shape == (6, 8, 3)


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "lanczos3"])
@pytest.mark.parametrize("size", [(12, 20), (6, 17)])
def test_larger_pictures_agree_with_the_weights_of_resize(
    kind: str, size: tuple[int, int]
) -> None:
    mild = COLORS // 4 + 96  # nothing that a cubic makes of it is beyond 0 to 255
    found = load_picture(encoded(Image.fromarray(mild)), size=size, interpolation=kind)
    exact = np.asarray(resize(mild.astype(np.float32), size, kind).numpy())
    assert np.abs(found - exact).max() <= (0 if kind == "nearest" else 1.1)


@pytest.mark.parametrize(
    "kind", ["area", "bilinear", "bicubic", "lanczos5", "gaussian", "mitchellcubic"]
)
@pytest.mark.parametrize("antialias", [False, True])
def test_smaller_pictures_keep_soft_transitions(kind: str, antialias: bool) -> None:
    content = encoded(Image.fromarray(smooth(96, 128)))
    found = load_picture(content, size=(6, 8), interpolation=kind, antialias=antialias)
    wanted = smooth(96, 128).reshape(6, 16, 8, 16, 3).mean((1, 3))
    assert np.abs(found - wanted).max() <= 6


def test_antialias_takes_in_all_pixels() -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::4] = 255
    content = encoded(Image.fromarray(stripes))
    soft = load_picture(content, size=8, color_mode="grayscale")
    hard = load_picture(content, size=8, color_mode="grayscale", antialias=False)
    assert np.abs(soft.astype(int) - 64).max() < 12
    assert np.ptp(hard) == 0
    assert hard.max() == 128, "of the columns 3 and 4, the only ones that count"


def test_cropping_and_padding_keep_the_proportions() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    content = encoded(Image.fromarray(wide))
    cropped = load_picture(content, size=10, crop_to_aspect_ratio=True)
    assert (cropped == 200).all()
    padded = load_picture(content, size=30, pad_to_aspect_ratio=True)
    np.testing.assert_array_equal(padded[10:20], wide)
    assert not padded[:10].any()
    assert not padded[20:].any()
    with pytest.raises(ArgumentError, match="not both"):
        load_picture(
            content, size=9, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True
        )


@pytest.mark.parametrize("size", [0, (3,), (3, -1), "3", (2.5, 2), True, 1 << 20])
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(ArgumentError, match="height and a width"):
        read_size(size)


@pytest.mark.parametrize("option", [{"color_mode": "bgr"}, {"interpolation": "cubic"}])
def test_choices_that_are_none(option: dict[str, str]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(option))):
        load_picture(encoded(Image.fromarray(COLORS)), **option)  # type: ignore[arg-type]


def test_large_jpegs_are_decoded_in_part() -> None:
    assert enough_pixels((100, 100), (64, 64), (False, False), False) == (100, 100)
    assert enough_pixels((800, 400), (10, 10), (True, False), False) == (40, 20)
    assert enough_pixels((800, 400), (10, 20), (False, True), True) == (40, 20)


# ---- what cannot be read -------------------------------------------------------------


def test_files_are_named_when_they_cannot_be_read(tmp_path: Path) -> None:
    whole = encoded(Image.fromarray(smooth(64, 64)), "JPEG")
    contents = {
        "empty.png": b"",
        "text.jpg": b"not a picture",
        "cut.jpg": whole[: len(whole) // 2],
        "page.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=name):
            load_picture(tmp_path / name)
    for name in ("absent.png", "nul\0.png", "."):
        with pytest.raises(FormatError, match="cannot be opened"):
            load_picture(str(tmp_path / name))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    def part(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", b"")
    with pytest.raises(FormatError, match=r"pixels|Bomb"):
        load_picture(bomb)


def test_the_limit_on_pixels_is_that_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(COLORS), "BMP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48)
    assert load_picture(content).shape == (6, 8, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    with pytest.raises(FormatError, match=r"MAX_IMAGE_PIXELS|Bomb"):
        load_picture(content)


def test_without_pillow_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DependencyError, match="pip install"):
        load_picture(b"")


SEEDS = [
    encoded(Image.fromarray(smooth(9, 7)), form)
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO")
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_a_picture_or_an_error_of_ours(
    content: bytes, cut: int, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(content[: max(0, len(content) - cut)])
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    try:
        found = load_picture(bytes(damaged), size=(5, 4))
    except FormatError:
        return
    assert found.shape == (5, 4, 3)
    assert found.dtype == np.uint8
