"""What smaller tiles foretell of larger ones."""

import msgspec
import pytest
from recorded import launch, workload

from esrbench.limits import foreseen
from esrbench.record import Case, Status
from esrbench.target import Target

ONE, TWO = "ncnn@cpu:fp32", "torch@cpu:fp32"
SIZES = [(64, 1), (64, 4), (128, 1), (128, 4), (256, 1)]
WORKLOADS = {f"t{tile}b{batch}": workload(f"t{tile}b{batch}", tile=tile, batch=batch) for tile, batch in SIZES}


def case(target, size):
    return Case(target=Target(target), workload=size)


def took(target, size, seconds, status=Status.OK):
    return msgspec.structs.replace(launch(target, workload_id=size, status=status), wall_ns=round(seconds * 1e9))


@pytest.mark.parametrize(
    ("size", "refused"), [("t64b1", False), ("t64b4", False), ("t128b1", True), ("t128b4", True), ("t256b1", True)]
)
def test_after_running_out_of_memory_nothing_larger_in_both_is_launched(size, refused):
    found = foreseen(case(ONE, size), WORKLOADS, [took(TWO, size, 1), took(ONE, "t128b1", 1, Status.OOM)], 100)
    if size == "t128b1":  # itself: what was launched is not asked about
        assert found is None
        return
    assert (found is not None) is refused
    if found is not None:
        assert found.status is Status.OOM
        assert found.reason == "not launched: it ran out of memory at tile 128, batch 1"


def test_a_larger_batch_out_of_memory_says_nothing_of_a_larger_tile_in_smaller_batches():
    assert foreseen(case(ONE, "t256b1"), WORKLOADS, [took(ONE, "t64b4", 1, Status.OOM)], 100) is None


def test_another_targets_memory_is_its_own():
    assert foreseen(case(ONE, "t256b1"), WORKLOADS, [took(TWO, "t64b1", 1, Status.OOM)], 100) is None


def test_what_was_not_launched_is_no_evidence():
    refused = msgspec.structs.replace(took(ONE, "t128b1", 1, Status.OOM), wall_ns=None)
    assert foreseen(case(ONE, "t256b1"), WORKLOADS, [refused], 100) is None


def test_a_larger_picture_in_smaller_tiles_says_nothing_of_the_time_of_one_tile():
    many = WORKLOADS | {"t64b1": msgspec.structs.replace(WORKLOADS["t64b1"], tiles=100)}
    assert foreseen(case(ONE, "t128b1"), many, [took(ONE, "t64b1", 1000)], 1) is None


def test_a_larger_tile_is_not_begun_where_a_smaller_one_took_twice_what_is_left():
    launches = [took(ONE, "t64b1", 41)]
    assert foreseen(case(ONE, "t128b1"), WORKLOADS, launches, 21) is None
    found = foreseen(case(ONE, "t128b1"), WORKLOADS, launches, 20)
    assert found is not None
    assert found.status is Status.TIMEOUT
    assert "20 s of the budget were left, a smaller case took 41.0 s" in found.reason
