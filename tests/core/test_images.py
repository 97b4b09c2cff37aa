"""Pictures come in as 8-bit RGB whatever their form, go out whole or not at all, and bad files are named clearly."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from esrbench import images
from esrbench.errors import ImageError, OutputError, UnknownNameError
from esrbench.images import Picture


def noise(height: int = 5, width: int = 7, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, raw: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif", ".tiff", ".PNG"])
def test_a_lossless_format_gives_back_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    images.write(path, Picture(rgb=noise()))
    back = images.read(path)
    np.testing.assert_array_equal(back.rgb, noise())
    assert (back.height, back.width, back.alpha, back.grey) == (5, 7, None, False)


def test_a_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:, 8:] = (230, 20, 40)
    images.write(tmp_path / "a.jpg", Picture(rgb=rgb))
    assert np.abs(images.read(tmp_path / "a.jpg").rgb.astype(int) - rgb).max() <= 6


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_comes_back_with_the_colours_beneath_it(tmp_path: Path, suffix: str) -> None:
    alpha = noise(channels=1)[..., 0]
    alpha[0, 0] = 0
    images.write(tmp_path / f"a{suffix}", Picture(rgb=noise(), alpha=alpha))
    back = images.read(tmp_path / f"a{suffix}")
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha, alpha)
    np.testing.assert_array_equal(back.rgb, noise())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_grey_stays_grey(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(np.full((4, 4), 90, np.uint8)).save(tmp_path / "in.png")
    picture = images.read(tmp_path / "in.png")
    assert picture.grey
    assert (picture.rgb == 90).all()
    images.write(tmp_path / f"out{suffix}", picture)
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.mode == "L"
        assert image.getextrema() == (90, 90)


def test_grey_with_alpha_stays_both(tmp_path: Path) -> None:
    Image.fromarray(noise(channels=2), mode=None).save(tmp_path / "in.png")
    picture = images.read(tmp_path / "in.png")
    images.write(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "LA"
        np.testing.assert_array_equal(np.array(image), noise(channels=2))


def test_a_palette_picture_becomes_colours_and_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 1, 2, 3])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    picture = images.read(tmp_path / "a.png")
    assert picture.rgb.tolist() == [[[250, 10, 20], [1, 2, 3]]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


def test_a_transparent_colour_of_an_rgb_picture_becomes_alpha(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    picture = images.read(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("mode", "suffix"), [("1", ".png"), ("1", ".bmp"), ("CMYK", ".jpg"), ("CMYK", ".tif"), ("P", ".gif")]
)
def test_other_kinds_of_pixels_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    Image.new("RGB", (6, 4), "white").convert(mode).save(tmp_path / f"a{suffix}")
    picture = images.read(tmp_path / f"a{suffix}")
    assert picture.rgb.shape == (4, 6, 3)
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.min() >= 250
    assert picture.grey == (mode == "1")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_picture_is_turned_upright_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255  # the top left corner
    turn = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: np.rot90, 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if suffix == ".jpg" else {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(np.ascontiguousarray(turn(upright))).save(tmp_path / f"a{suffix}", exif=exif, **options)
    picture = images.read(tmp_path / f"a{suffix}")
    assert np.abs(picture.rgb.astype(int) - upright).max() < 20
    images.write(tmp_path / "out.png", picture)
    np.testing.assert_array_equal(images.read(tmp_path / "out.png").rgb, picture.rgb)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_the_colour_profile_is_passed_on(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise()).save(tmp_path / "in.png", icc_profile=profile)
    images.write(tmp_path / f"out{suffix}", images.read(tmp_path / "in.png"))
    assert images.read(tmp_path / f"out{suffix}").icc_profile == profile


def test_a_profile_of_inks_is_not_passed_on(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "in.jpg", icc_profile=b"inks")
    assert images.read(tmp_path / "in.jpg").icc_profile is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("grey.png", png(1, 1, 16, 0, bytes(3))),
        ("colour.png", png(1, 1, 16, 2, bytes(7))),
        ("grey_alpha.png", png(1, 1, 16, 4, bytes(5))),
        ("colour_alpha.png", png(1, 1, 16, 6, bytes(9))),
        ("colour.ppm", b"P6 1 1 65535\n" + bytes(6)),
        ("grey.pgm", b"P5 1 1 65535\n" + bytes(2)),
    ],
)
def test_sixteen_bits_are_refused_rather_than_rounded(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match="more than 8 bits per channel; convert"):
        images.read(tmp_path / name)


def test_eight_bit_ppm_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 300 2 255\n" + bytes(1800))
    assert images.read(tmp_path / "a.ppm").width == 300


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="floating-point"):
        images.read(tmp_path / "a.tif")


def test_lab_colours_are_refused(tmp_path: Path) -> None:
    Image.new("LAB", (2, 2)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="kind LAB"):
        images.read(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".png"])
def test_more_than_one_frame_is_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 120, 250)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 frames"):
        images.read(tmp_path / f"a{suffix}")


def test_a_phone_photo_with_a_preview_is_read(tmp_path: Path) -> None:
    Image.fromarray(noise(16, 16)).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.fromarray(noise(4, 4))]
    )
    assert images.read(tmp_path / "a.jpg").height == 16


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no picture at .*absent\.png"):
        images.read(tmp_path / "absent.png")


def test_a_folder_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        images.read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        images.read(tmp_path / "pipe.png")


def test_a_name_that_the_system_refuses_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read"):
        images.read(tmp_path / ("a" * 5000))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match="0 bytes"):
        images.read(tmp_path / "a.png")


def test_a_text_is_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageError, match="not a picture that can be read; known: PNG"):
        images.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_a_truncated_picture_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    images.write(path, Picture(rgb=noise(64, 64)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=r"a\.\w+ is (damaged|not a picture)"):
        images.read(path)


def test_a_decompression_bomb_is_not_unpacked(tmp_path: Path) -> None:
    for side in (11_000, 60_000):  # Pillow warns of the first, and raises at the second
        (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
        with pytest.raises(ImageError, match=r"more than 89\.5 million pixels"):
            images.read(tmp_path / "a.png")


_WHOLE = {}
for _kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"):
    _buffer = io.BytesIO()
    Image.fromarray(noise(9, 9)).save(_buffer, _kind)
    _WHOLE[_kind] = _buffer.getvalue()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(_WHOLE)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8))
def test_a_damaged_picture_is_read_or_refused_never_a_crash(
    tmp_path: Path, kind: str, hits: list[tuple[float, int]]
) -> None:
    data = bytearray(_WHOLE[kind])
    for where, value in hits:
        data[int(where * (len(data) - 1))] = value
    (tmp_path / "a").write_bytes(data)
    try:
        picture = images.read(tmp_path / "a")
    except ImageError:
        return
    assert picture.rgb.ndim == 3


@pytest.mark.parametrize("suffix", ["", ".xyz", ".gif"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageError, match=r"use \.png, \.jpg"):
        images.write(tmp_path / f"a{suffix}", Picture(rgb=noise()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_is_never_dropped_silently(tmp_path: Path, suffix: str) -> None:
    alpha = np.full((5, 7), 255, np.uint8)
    images.write(tmp_path / f"opaque{suffix}", Picture(rgb=noise(), alpha=alpha.copy()))
    alpha[2, 2] = 254
    with pytest.raises(ImageError, match="has transparency"):
        images.write(tmp_path / f"a{suffix}", Picture(rgb=noise(), alpha=alpha))
    assert not (tmp_path / f"a{suffix}").exists()


def test_a_picture_too_large_for_its_format_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="WEBP holds at most 16383"):
        images.check_output(tmp_path / "a.webp", 20_000, 10, None)
    images.check_output(tmp_path / "a.png", 20_000, 10, None)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(self: Image.Image, file: io.BytesIO, *_: object, **__: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"No space left.*choose another place"):
        images.write(tmp_path / "a.png", Picture(rgb=noise()))
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_written_picture_has_ordinary_permissions_and_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "a.png").write_bytes(b"old")
    images.write(tmp_path / "a.png", Picture(rgb=noise()))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert images.read(tmp_path / "a.png").width == 7


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    images.write(tmp_path / "link.png", Picture(rgb=noise()))
    assert (tmp_path / "link.png").is_symlink()
    assert images.read(tmp_path / "real.png").width == 7


@pytest.mark.parametrize("check", [True, False])
def test_a_place_that_is_none_is_refused(tmp_path: Path, check: bool) -> None:
    def put(path: Path) -> None:
        if check:
            images.check_output(path, 5, 7, None)
        else:
            images.write(path, Picture(rgb=noise()))

    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a folder"):
        put(tmp_path / "folder.png")
    with pytest.raises(OutputError, match="is a folder"):
        put(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        put(tmp_path / f"{'a' * 5000}.png")
    with pytest.raises(OutputError, match="no folder"):
        put(tmp_path / "absent" / "a.png")
    with pytest.raises(OutputError, match="no folder"):
        put(tmp_path / "file" / "a.png")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_an_unwritable_folder_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        images.check_output(Path("/proc/self/a.png"), 5, 7, None)


@pytest.mark.parametrize("name", images.SAMPLES)
def test_every_sample_photo_comes_with_scikit_image(name: str) -> None:
    pixels = images.sample(name)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= 300


def test_an_unknown_sample_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'astronaut'"):
        images.sample("astronot")


def test_a_picture_of_our_own_may_have_the_pixels_that_are_expected_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="pixels"):
        images.read(tmp_path / "large.png")
    assert images.read_own(tmp_path / "large.png", 1200).rgb.shape == (30, 40, 3)
    with pytest.raises(ImageError, match="pixels"):
        images.read_own(tmp_path / "large.png", 1199)
    assert Image.MAX_IMAGE_PIXELS == 1000
