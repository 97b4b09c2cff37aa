"""The same pixels for every target: prepared from a photo, hashed, and rebuilt from a file in another process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esrbench import images, workload
from esrbench.codec import decode, encode
from esrbench.errors import ImageError, TilingError, UnknownNameError, UsageError
from esrbench.record import Workload
from esrbench.workload import PreparedWorkload


def prepare(**changes: Any) -> PreparedWorkload:
    given: dict[str, Any] = {
        "image": "astronaut", "crop": (72, 192, 48, 80), "tile": 48, "halo": 8, "batch": 1, "threads": 2, "id": "t48b1",
    }  # fmt: skip
    return workload.prepare(**(given | changes))


def test_a_crop_of_a_sample_photo_is_described_in_full() -> None:
    made = prepare()
    assert made.record == Workload(
        id="t48b1",
        image="astronaut",
        left_px=192,
        top_px=72,
        width_px=80,
        height_px=48,
        tile_px=48,
        halo_px=8,
        batch=1,
        threads=2,
        tiles=2,
        pixels_sha256=workload.sha256_of_pixels(made.pixels),
    )
    np.testing.assert_array_equal(made.pixels, images.sample("astronaut")[72:120, 192:272])
    assert (made.plan.height, made.plan.width, made.plan.tile, made.plan.halo) == (48, 80, 48, 8)


def test_a_batch_that_the_picture_cannot_fill_is_filled_with_its_tiles_again() -> None:
    made = prepare(batch=3)
    assert (made.record.tiles, made.record.copies) == (2, 2)
    first, second = made.batches()
    assert (len(first), len(second)) == (3, 1)
    np.testing.assert_array_equal(np.concatenate([first, second])[2:], first[:2])


def test_the_tiles_come_again_until_a_pass_has_as_many_batches_as_asked() -> None:
    crop = (0, 0, 16, 32)  # two tiles
    given = {"image": "astronaut", "crop": crop, "tile": 16, "halo": 0, "threads": 1, "id": "a"}
    one, three = (workload.prepare(batch=2, min_batches=count, **given) for count in (1, 3))  # type: ignore[arg-type]
    assert [len(list(each.batches())) for each in (one, three)] == [1, 3]
    assert [batch.shape[0] for batch in three.batches()] == [2, 2, 2]
    assert three.record.copies == 3


def test_a_crop_without_a_position_is_taken_from_the_middle() -> None:
    np.testing.assert_array_equal(prepare(crop=(48, 81)).pixels, images.sample("astronaut")[232:280, 215:296])


def test_without_a_crop_the_whole_picture_is_taken() -> None:
    assert prepare(crop=None).pixels.shape == (512, 512, 3)


def test_a_file_is_taken_too_and_named_without_its_folder(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    images.write(tmp_path / "photo.png", images.Picture(rgb=rgb, alpha=rgb[..., 0].copy()))
    made = prepare(image=str(tmp_path / "photo.png"), crop=None)
    np.testing.assert_array_equal(made.pixels, rgb)
    assert made.record.image == "photo.png"


def test_batches_are_contiguous_float_tiles_in_order_and_the_last_may_be_smaller() -> None:
    made = prepare(crop=(0, 0, 100, 100), tile=48, halo=8, batch=4)
    batches = list(made.batches())
    assert [batch.shape for batch in batches] == [(4, 48, 48, 3), (4, 48, 48, 3), (1, 48, 48, 3)]
    assert all(batch.dtype == np.float32 and batch.flags.c_contiguous for batch in batches)
    first = np.concatenate(batches)[0]
    np.testing.assert_array_equal(np.rint(first * 255).astype(np.uint8), made.pixels[:48, :48])
    assert 0 <= first.min() < first.max() <= 1


def test_the_hash_knows_the_shape() -> None:
    pixels = np.arange(36, dtype=np.uint8)
    assert workload.sha256_of_pixels(pixels.reshape(2, 6, 3)) != workload.sha256_of_pixels(pixels.reshape(6, 2, 3))
    assert prepare().record.pixels_sha256 == prepare().record.pixels_sha256


def test_another_process_rebuilds_it_from_a_picture_and_its_record(tmp_path: Path) -> None:
    made = prepare(batch=2)
    made.save(tmp_path / "input.png")
    record = decode(encode(made.record), Workload, "test")
    again = workload.load(record, tmp_path / "input.png")
    assert again.record == made.record
    assert again.plan == made.plan
    np.testing.assert_array_equal(np.concatenate(list(again.batches())), np.concatenate(list(made.batches())))


def test_changed_pixels_are_not_measured(tmp_path: Path) -> None:
    made = prepare()
    made.pixels[0, 0, 0] ^= 1
    made.save(tmp_path / "input.png")
    with pytest.raises(ImageError, match="does not hold the pixels of workload 't48b1'"):
        workload.load(made.record, tmp_path / "input.png")


def test_windows_keep_to_the_multiple_that_a_folding_network_needs() -> None:
    assert all(at.left % 4 == 0 for at in prepare(crop=(0, 0, 50, 93), multiple=4).plan.windows)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"batch": 0}, UsageError, "batch of 0"),
        ({"threads": -1}, UsageError, "thread count of -1"),
        ({"tile": 16, "halo": 8}, TilingError, "tile 16 with halo 8"),
        ({"tile": 50, "multiple": 4}, TilingError, "use 52"),
        ({"image": "astronot"}, UnknownNameError, "did you mean 'astronaut'"),
        ({"image": "absent.png"}, ImageError, "no picture at absent.png"),
        ({"image": "./astronaut"}, ImageError, "no picture at astronaut"),
        ({"crop": (0, 0, 513, 80)}, UsageError, "80×513 pixels at left 0, top 0 was asked for; astronaut has 512×512"),
        ({"crop": (500, 0, 48, 80)}, UsageError, "at left 0, top 500"),
        ({"crop": (-1, 0, 48, 80)}, UsageError, "top -1"),
        ({"crop": (0, 80)}, UsageError, "80×0"),
        ({"crop": (600, 80)}, UsageError, "80×600"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], kind: type[UsageError], says: str) -> None:
    with pytest.raises(kind, match=says):
        prepare(**changes)


def test_no_heavy_library_is_loaded_for_it() -> None:
    code = (
        "import sys; from esrbench import workload;"
        "workload.prepare(image='chelsea', crop=None, tile=64, halo=8, batch=1, threads=1, id='a');"
        "print(sorted({'torch', 'scipy', 'skimage', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
