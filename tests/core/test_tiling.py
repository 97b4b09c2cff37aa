"""Plan, cut and stitch: exact for any size, each pixel once, and no seam once the halo spans the receptive field."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esrbench.architecture import RRDBNetSpec
from esrbench.errors import TilingError
from esrbench.tiling import TilePlan, cut, plan, stitch, tiles_of, window_count

sizes = st.integers(1, 70)


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    multiple = draw(st.sampled_from([1, 1, 1, 2, 4]))
    halo = draw(st.integers(0, 6))
    tile = -(-(2 * halo + draw(st.integers(multiple, 20))) // multiple) * multiple
    return plan(draw(sizes), draw(sizes), tile=tile, halo=halo, multiple=multiple)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def nearest(tiles: np.ndarray, scale: int) -> np.ndarray:
    return tiles.repeat(scale, axis=-3).repeat(scale, axis=-2)


@settings(deadline=None)
@given(plans(), st.sampled_from([1, 2, 4]))
def test_cut_then_stitch_gives_back_the_picture_at_any_size(plan: TilePlan, scale: int) -> None:
    image = noise(plan.height, plan.width)
    whole = stitch(nearest(cut(image, plan), scale), plan, scale)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, nearest(image, scale))


@settings(deadline=None)
@given(plans())
def test_every_pixel_is_kept_of_exactly_one_window(plan: TilePlan) -> None:
    kept = np.zeros((plan.height, plan.width), int)
    for at in plan.windows:
        kept[at.keep_top : at.keep_bottom, at.keep_left : at.keep_right] += 1
    assert (kept == 1).all()


@settings(deadline=None)
@given(plans())
def test_every_window_has_the_same_shape_and_lies_inside(plan: TilePlan) -> None:
    image = noise(plan.height, plan.width)
    assert cut(image, plan).shape == (len(plan.windows), plan.tile, plan.tile, 3)
    height, width = plan.padded_shape
    for at in plan.windows:
        assert 0 <= at.top <= height - plan.tile
        assert 0 <= at.left <= width - plan.tile
        assert at.top % plan.multiple == at.left % plan.multiple == 0


@settings(deadline=None)
@given(plans())
def test_what_is_kept_has_a_halo_of_context_or_the_picture_border(plan: TilePlan) -> None:
    for at in plan.windows:
        for start, first, end, length in (
            (at.top, at.keep_top, at.keep_bottom, plan.height),
            (at.left, at.keep_left, at.keep_right, plan.width),
        ):
            assert first == 0 == start or first - start >= plan.halo
            assert end == length or start + plan.tile - end >= plan.halo


@settings(deadline=None)
@given(plans())
def test_a_picture_is_padded_only_where_it_is_smaller_than_the_tile_or_no_multiple(plan: TilePlan) -> None:
    for padded, side in zip(plan.padded_shape, (plan.height, plan.width), strict=True):
        if side >= plan.tile and side % plan.multiple == 0:
            assert padded == side


@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 6), st.integers(1, 20))
def test_no_plan_has_more_windows_than_it_needs(height: int, width: int, halo: int, core: int) -> None:
    made = plan(height, width, tile=core + 2 * halo, halo=halo)
    # n windows keep at most n cores and the halos at both borders.
    fewest = [max(1, -(-(side - 2 * halo) // core)) for side in (height, width)]
    assert len(made.windows) == fewest[0] * fewest[1]
    assert window_count(height, width, tile=core + 2 * halo, halo=halo) == len(made.windows)


@settings(deadline=None)
@given(plans())
def test_windows_come_row_by_row(plan: TilePlan) -> None:
    positions = [(at.top, at.left) for at in plan.windows]
    assert all(before < after for before, after in pairwise(positions))


def test_the_example_of_the_docstring_is_what_is_planned() -> None:
    rows = [(at.left, at.keep_left, at.keep_right) for at in plan(1, 17, tile=8, halo=2).windows]
    assert rows == [(0, 0, 6), (4, 6, 10), (8, 10, 14), (9, 14, 17)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 2), (31, 5)])
def test_a_picture_smaller_than_the_tile_is_padded_by_reflection(height: int, width: int) -> None:
    image = noise(height, width)
    made = plan(height, width, tile=32, halo=4)
    first = next(tiles_of(image, made))
    np.testing.assert_array_equal(first[:height, : min(width, 32)], image[:, :32])
    if 1 < height < 32:
        np.testing.assert_array_equal(first[height, : min(width, 32)], image[height - 2, :32])


@pytest.mark.parametrize(
    ("sizes", "tile", "halo", "multiple", "says"),
    [
        ((0, 5), 32, 4, 1, "0×5"),
        ((5, -1), 32, 4, 1, "at least 1×1"),
        ((5, 5), 0, 0, 1, "tile 0"),
        ((5, 5), 32, -1, 1, "halo -1"),
        ((5, 5), 32, 16, 1, "use a tile of more than 32 or a halo under 16"),
        ((5, 5), 31, 16, 1, "halo under 16"),
        ((5, 5), 33, 4, 4, "use 36"),
        ((5, 5), 36, 17, 4, "use a tile of 40"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    sizes: tuple[int, int], tile: int, halo: int, multiple: int, says: str
) -> None:
    with pytest.raises(TilingError, match=says):
        plan(*sizes, tile=tile, halo=halo, multiple=multiple)
    with pytest.raises(TilingError, match=says):
        window_count(*sizes, tile=tile, halo=halo, multiple=multiple)


def test_tiles_of_another_number_or_shape_are_refused() -> None:
    made = plan(20, 20, tile=16, halo=2)
    tiles = np.zeros((4, 32, 32, 3), np.float32)
    with pytest.raises(TilingError, match="has 4 tiles"):
        stitch(tiles[:3], made, 2)
    with pytest.raises(TilingError, match="scale 4 came back as 32×32×3"):
        stitch(tiles, made, 4)


def test_a_picture_of_another_size_is_not_cut() -> None:
    with pytest.raises(TilingError, match="20×20, this one is 20×21×3"):
        cut(noise(20, 21), plan(20, 20, tile=16, halo=2))


@settings(max_examples=5, deadline=None)
@given(st.integers(64, 90), st.integers(64, 90))
def test_a_halo_as_wide_as_the_receptive_field_leaves_no_seam(height: int, width: int) -> None:
    torch = pytest.importorskip("torch")
    from esrbench import model

    spec = RRDBNetSpec(blocks=1, features=8, growth=4)
    torch.manual_seed(5)
    network = model.build(spec)

    def upscale(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(tiles).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()

    halo = spec.receptive_field_px
    made = plan(height, width, tile=2 * halo + 24, halo=halo)
    image = noise(height, width).astype(np.float32) / 255
    whole = upscale(image[None])[0]
    tiled = stitch(upscale(cut(image, made)), made, spec.scale)
    assert len(made.windows) > 1
    assert -10 * np.log10(np.mean((tiled - whole) ** 2) + 1e-30) >= 100
    assert np.abs(tiled - whole).max() < 1e-5 * np.abs(whole).max()
