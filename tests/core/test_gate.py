"""What makes a comparison fail, and what does not."""

from pathlib import Path

import msgspec
import pytest
from recorded import TORCH, failed, memory, placement
from sides import QUIET, rounds_of, run_of, scaled

from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import ONNX, Artifact, ArtifactFile
from esrbench.comparison import Comparison, compare_runs
from esrbench.errors import UnknownNameError, UsageError
from esrbench.gate import Gate, Kind, failures, parse
from esrbench.record import LaunchRecord, Status
from esrbench.store import Run
from esrbench.target import Precision

FAST, NCNN = "openvino@cpu:fp32", "ncnn@cpu:fp32"


def against(tmp_path: Path, base: list[LaunchRecord], head: list[LaunchRecord]) -> Comparison:
    """Two runs that took turns, each with a quiet reference."""
    runs: list[Run] = []
    for name, extra, minute in (("base", base, 0.0), ("head", head, 0.5)):
        shifted = [
            msgspec.structs.replace(each, started_at=rounds_of(TORCH, QUIET, from_minute=minute)[each.round].started_at)
            for each in extra
        ]
        runs.append(run_of(tmp_path / name, {TORCH: QUIET}, from_minute=minute, extra=shifted))
    return compare_runs(*runs)


def reasons(found: Comparison, *gates: str) -> list[tuple[str, str]]:
    return [(each.name, each.kind.value) for each in failures(found, [parse(text) for text in gates])]


def artifact(size_bytes: int) -> Artifact:
    return Artifact(
        model="m",
        format=ONNX,
        precision=Precision.FP32,
        spec=SRVGGNetSpec(convs=1, features=4),
        weights_sha256="0",
        files=(ArtifactFile(name="m.onnx", size_bytes=size_bytes, sha256="0"),),
        exporter="e",
        options={},
        versions={},
    )


def test_a_slower_case_fails_from_the_limit_on_and_names_its_change(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET), rounds_of(FAST, scaled(QUIET, 1.10)))
    assert reasons(found, "slower") == reasons(found, "slower:5%") == [(FAST, "slower")]
    assert reasons(found, "slower:12%") == []
    assert "its speed changed by -9.1% (" in failures(found, [parse("slower")])[0].reason


def test_a_faster_or_same_case_passes(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET), rounds_of(FAST, scaled(QUIET, 0.9)))
    assert reasons(found, "slower", "unclear", "vanished", "wrong", "memory", "size", "nodes") == []


def test_slower_implies_what_has_vanished_or_is_wrong(tmp_path: Path) -> None:
    head = [failed(FAST, Status.CRASHED, "SIGSEGV"), failed(NCNN, Status.WRONG, "20 dB")]
    found = against(tmp_path, [*rounds_of(FAST, QUIET), *rounds_of(NCNN, QUIET)], head)
    assert reasons(found, "slower:3%") == [(FAST, "vanished"), (NCNN, "wrong")]
    assert reasons(found, "vanished") == [(FAST, "vanished")]
    assert reasons(found, "wrong") == [(NCNN, "wrong")]
    assert reasons(found, "memory:5%") == [(FAST, "memory"), (NCNN, "memory")]
    assert "crashed: SIGSEGV" in failures(found, [parse("vanished")])[0].reason


def test_what_is_said_once_is_not_said_again(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET), [failed(FAST, Status.CRASHED)])
    assert reasons(found, "slower", "vanished", "slower:9%") == [(FAST, "vanished")]


def test_unclear_fails_only_where_it_is_asked_for_and_says_what_would_settle_it(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET[:3]), rounds_of(FAST, [1.0, 1.1, 0.95]))
    assert reasons(found, "slower") == []
    assert reasons(found, "unclear") == [(FAST, "unclear")]
    assert "more rounds would" in failures(found, [parse("unclear")])[0].reason


def test_memory_may_grow_up_to_its_tolerance(tmp_path: Path) -> None:
    base = rounds_of(FAST, QUIET, memory=memory(300, 100))
    found = against(tmp_path, base, rounds_of(FAST, QUIET, memory=memory(321, 103)))
    assert reasons(found, "memory:10%") == []
    assert reasons(found, "memory") == [(FAST, "memory")]
    assert failures(found, [parse("memory:2%")])[1].reason.startswith("device memory grew from 100 to 103 MB (+3.0%)")


def test_memory_that_is_no_longer_measured_fails(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET), rounds_of(FAST, QUIET, memory=memory(None)))
    assert "was not measured in the head" in failures(found, [parse("memory")])[0].reason


def test_an_artifact_may_not_grow_and_nodes_may_not_change(tmp_path: Path) -> None:
    def with_nodes(count: int, size_bytes: int) -> list[LaunchRecord]:
        proof = msgspec.structs.replace(placement(), nodes={"CPU": count})
        return rounds_of(FAST, QUIET, placement=proof, artifact=artifact(size_bytes))

    found = against(tmp_path, with_nodes(351, 1_000_000), with_nodes(353, 1_015_000))
    assert reasons(found, "size", "nodes") == [(FAST, "size"), (FAST, "nodes")]
    assert reasons(found, "size:2%") == []
    assert (
        failures(found, [parse("nodes")])[0].reason == "its nodes were 351 CPU in the base and are 353 CPU in the head"
    )


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("slower", Gate(kind=Kind.SLOWER)),
        ("slower:3%", Gate(kind=Kind.SLOWER, limit=0.03)),
        ("slower: 2.5 %", Gate(kind=Kind.SLOWER, limit=0.025)),
        ("memory", Gate(kind=Kind.MEMORY, limit=0.05)),
        ("size:0%", Gate(kind=Kind.SIZE, limit=0.0)),
    ],
)
def test_gates_are_read_as_they_are_written(text: str, gate: Gate) -> None:
    assert parse(text) == gate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slowr", "did you mean 'slower'"),
        ("slower:3", "'3' is not a percentage"),
        ("slower:-3%", "not a percentage"),
        ("vanished:3%", "vanished takes no limit"),
    ],
)
def test_a_gate_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)
    assert issubclass(UnknownNameError, UsageError)


def test_a_case_with_fewer_rounds_that_ended_ok_than_in_the_base_is_named_with_both_counts(tmp_path: Path) -> None:
    found = against(tmp_path, rounds_of(FAST, QUIET), rounds_of(FAST, QUIET[:3]))
    (failure,) = failures(found, [parse("rounds")])
    assert (failure.name, failure.kind) == (FAST, Kind.ROUNDS)
    assert failure.reason == f"3 of its rounds ended ok in the head, {len(QUIET)} in the base"
    assert reasons(against(tmp_path / "more", rounds_of(FAST, QUIET[:3]), rounds_of(FAST, QUIET)), "rounds") == []
