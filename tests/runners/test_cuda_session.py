"""What the CUDA session promises, on a device whose streams are as late as they may be; the arithmetic is the CPU's."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from devices import LateDevice

from esrbench.artifact import PYTORCH, Format, LocatedArtifact
from esrbench.errors import EsrbenchError
from esrbench.runner import Tiles
from esrbench.target import Precision, Target
from esrbench_runners.cuda_session import CudaSession, CudaSettings
from esrbench_runners.torch_eager import TorchRunner
from esrbench_runners.torch_session import TorchSession

GetArtifact = Callable[[Format, Precision], LocatedArtifact]

TARGET = Target("torch@cpu:fp32")  # the fake device's tensors are the CPU's
SIDE = 8


@pytest.fixture
def network(get_artifact: GetArtifact) -> torch.nn.Module:
    return TorchRunner().network(get_artifact(PYTORCH, Precision.FP32), TARGET)


@pytest.fixture
def device() -> LateDevice:
    return LateDevice()


@pytest.fixture
def session(network: torch.nn.Module, device: LateDevice) -> Iterator[CudaSession]:
    with CudaSession(network, TARGET, CudaSettings(in_flight=2), device) as opened:
        yield opened
    assert device.released


@pytest.fixture
def expected(network: torch.nn.Module) -> Callable[[Tiles], Tiles]:
    return TorchSession(network, TARGET).run


def batch(seed: int, count: int = 2) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, SIDE, SIDE, 3), dtype=np.float32)


def bytes_of(tiles: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return (tiles * 255).astype(np.uint8)


def busy(device: LateDevice) -> int:
    return sum(len(lane.waiting) for lane in (device.upload, device.compute, device.download))


def test_a_batch_is_drawn_as_without_a_graph(session: CudaSession, expected: Callable[[Tiles], Tiles]) -> None:
    for tiles in (batch(0), batch(1), bytes_of(batch(2)), batch(3, count=1)):
        np.testing.assert_array_equal(session.run(tiles), expected(tiles))


@pytest.mark.parametrize("pinned", [False, True])
def test_a_result_is_not_overwritten_by_the_next_batch(network: torch.nn.Module, pinned: bool) -> None:
    with CudaSession(network, TARGET, CudaSettings(pinned_results=pinned), LateDevice()) as session:
        first = session.run(batch(0))
        kept = first.copy()
        session.run(batch(1))
        np.testing.assert_array_equal(first, kept)


def test_a_stream_keeps_the_order_up_to_a_smaller_last_batch(
    session: CudaSession, expected: Callable[[Tiles], Tiles]
) -> None:
    batches = [*(batch(seed) for seed in range(5)), batch(5, count=1)]
    for found, tiles in zip(session.stream(batches), batches, strict=True):
        np.testing.assert_array_equal(found, expected(tiles))


def test_a_caller_may_reuse_the_array_of_a_batch_at_once(
    session: CudaSession, expected: Callable[[Tiles], Tiles]
) -> None:
    """A consumer cuts its tiles into one array: they are copied before anything waits."""
    array = np.empty_like(batch(0))

    def batches() -> Iterator[Tiles]:
        for seed in range(4):
            array[:] = batch(seed)
            yield array

    for seed, found in enumerate(session.stream(batches())):
        np.testing.assert_array_equal(found, expected(batch(seed)))


def test_a_batch_comes_up_while_the_one_before_is_computed(session: CudaSession, device: LateDevice) -> None:
    session.run(batch(0))
    device.log.clear()
    list(session.stream([batch(1), batch(2), batch(3)]))
    submitted = [entry for entry in device.log if entry in {"submit upload", "do download"}]
    assert submitted == ["submit upload", "submit upload", "do download", "submit upload", "do download", "do download"]


def test_buffers_and_graphs_are_made_once_a_shape(session: CudaSession, device: LateDevice) -> None:
    for _ in range(3):
        list(session.stream([batch(0), batch(1), batch(2), batch(3, count=1)]))
        session.run(batch(0))
    assert device.captures == 2
    assert device.log.count("host buffer") == 2 * 2 + 2  # two slots of two tiles, one of one; each up and down


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_consumer_that_stops_early_leaves_nothing_under_way(
    session: CudaSession, device: LateDevice, expected: Callable[[Tiles], Tiles], taken: int
) -> None:
    stream = session.stream(batch(seed) for seed in range(6))
    for _ in range(taken):
        next(stream)
    stream.close()  # type: ignore[attr-defined]  # as when nobody holds it any more
    assert busy(device) == 0
    np.testing.assert_array_equal(session.run(batch(9)), expected(batch(9)))


def test_an_error_between_batches_leaves_nothing_under_way(
    session: CudaSession, device: LateDevice, expected: Callable[[Tiles], Tiles]
) -> None:
    def batches() -> Iterator[Tiles]:
        yield batch(0)
        yield batch(1)
        raise ValueError("the picture ends here")

    with pytest.raises(ValueError, match="ends here"):
        list(session.stream(batches()))
    assert busy(device) == 0
    np.testing.assert_array_equal(session.run(batch(9)), expected(batch(9)))


def test_an_error_on_the_device_is_one_clear_error(
    session: CudaSession, device: LateDevice, monkeypatch: pytest.MonkeyPatch, expected: Callable[[Tiles], Tiles]
) -> None:
    session.run(batch(0))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with monkeypatch.context() as patched:
        patched.setattr(device.download, "submit", fail)
        with pytest.raises(EsrbenchError, match=r"shape \(2, 8, 8, 3\) failed: CUDA error: an illegal memory access"):
            list(session.stream([batch(0), batch(1)]))
    assert busy(device) == 0
    np.testing.assert_array_equal(session.run(batch(1)), expected(batch(1)))


def test_runs_between_the_steps_of_a_stream_disturb_nothing(
    session: CudaSession, expected: Callable[[Tiles], Tiles]
) -> None:
    batches = [batch(seed) for seed in range(4)]
    other = [batch(10 + seed) for seed in range(4)]
    found = zip(session.stream(batches), session.stream(other), strict=True)
    for (first, second), tiles, others in zip(found, batches, other, strict=True):
        np.testing.assert_array_equal(session.run(batch(20)), expected(batch(20)))
        np.testing.assert_array_equal(first, expected(tiles))
        np.testing.assert_array_equal(second, expected(others))


def test_placement_counts_the_shapes_that_were_captured(session: CudaSession) -> None:
    assert session.placement().options["cuda_graphs"] == "0 shapes"
    session.run(batch(0))
    session.run(batch(0, count=1))
    assert session.placement().options["cuda_graphs"] == "2 shapes"


def test_a_capture_that_fails_is_told_and_not_tried_again(
    network: torch.nn.Module, expected: Callable[[Tiles], Tiles]
) -> None:
    device = LateDevice(refuses=["operation not permitted when stream is capturing"])
    with CudaSession(network, TARGET, device=device) as session:
        for tiles in (batch(0), batch(0, count=1)):
            np.testing.assert_array_equal(session.run(tiles), expected(tiles))
        assert device.captures == 1
        assert session.placement().options["cuda_graphs"] == (
            "0 shapes; otherwise none: the capture failed: operation not permitted when stream is capturing"
        )
    assert "replay" not in device.log


def test_graphs_can_be_turned_off(network: torch.nn.Module, expected: Callable[[Tiles], Tiles]) -> None:
    device = LateDevice()
    with CudaSession(network, TARGET, CudaSettings(graphs=False), device) as session:
        np.testing.assert_array_equal(session.run(batch(0)), expected(batch(0)))
        assert session.placement().options["cuda_graphs"] == "0 shapes; otherwise none: turned off"
    assert device.captures == 0


def test_a_shape_is_warmed_up_before_it_is_captured(session: CudaSession, device: LateDevice) -> None:
    session.run(batch(0))
    assert device.log.index("replay") > 2
    assert device.log[: 2 * 3] == ["submit compute", "do compute"] * 3
