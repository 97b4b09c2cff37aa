"""Tiles that a session has not seen before."""

import numpy as np
import pytest

from esrbench.variants import Variants

SIDE = 24
PASSES = 200

PHOTO = np.random.default_rng(1).random((1, SIDE, SIDE, 3), np.float32)
FLAT = np.full((1, SIDE, SIDE, 3), 0.5, np.float32)
BLACK = np.zeros((1, SIDE, SIDE, 3), np.float32)


@pytest.mark.parametrize("tile", [PHOTO, FLAT, BLACK], ids=["photo", "flat", "black"])
def test_no_tile_comes_twice_whatever_it_shows_and_copies_of_one_differ(tile):
    variants = Variants([np.concatenate([tile] * 3), tile])
    seen = {each.tobytes() for _ in range(PASSES) for batch in variants.new() for each in batch}
    seen |= {variants.new_batch(0, 1).tobytes() for _ in range(PASSES)}
    assert len(seen) == 5 * PASSES
    assert tile[0].tobytes() not in seen


def test_not_even_single_pixels_come_twice_where_a_picture_is_flat():
    variants = Variants([FLAT])
    corners = {variants.new()[0][0, 0, 0].tobytes() for _ in range(PASSES)}
    assert len(corners) == PASSES


def test_a_variant_is_the_original_rolled_and_dimmed_but_for_one_pixel():
    new = Variants([PHOTO], seed=3).new()[0][0]
    share = new.mean() / PHOTO.mean()
    rolled = [np.roll(PHOTO[0], (y, x), (0, 1)) * share for y in range(SIDE) for x in range(SIDE)]
    off = min((np.abs(new - each) > 0.01).any(-1).sum() for each in rolled)
    assert off <= 1
    assert 0.7 < share < 1
    assert 0 <= new.min() < new.max() <= 1


def test_the_originals_come_back_to_the_bit_in_the_same_memory():
    variants = Variants([PHOTO, PHOTO[:, :8]])
    before = [batch.ctypes.data for batch in variants.batches]
    variants.new()
    originals = variants.originals()
    assert [batch.ctypes.data for batch in (*variants.new(), *originals)] == before * 2
    for batch, tile in zip(variants.originals(), (PHOTO, PHOTO[:, :8]), strict=True):
        np.testing.assert_array_equal(batch, tile)


def test_single_tiles_of_a_batch_leave_the_others_as_they_are():
    variants = Variants([np.concatenate([PHOTO] * 2)])
    other = variants.new()[0][1].copy()
    first = variants.new_batch(0, 1)
    assert first.shape == PHOTO.shape
    np.testing.assert_array_equal(variants.batches[0][1], other)


def test_the_same_seed_makes_the_same_variants_and_another_one_others():
    first, same, other = (Variants([PHOTO], seed).new()[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_last_tiles_are_made_again_and_new_ones_follow():
    variants = Variants([PHOTO, PHOTO], seed=3)
    for make in (variants.new, lambda: variants.new_batch(1, 1), variants.originals):
        make()
        made = [batch.copy() for batch in variants.batches]
        variants.again()
        for batch, before in zip(variants.batches, made, strict=True):
            np.testing.assert_array_equal(batch, before)
    variants.new()
    assert not np.array_equal(variants.batches[0], PHOTO)
