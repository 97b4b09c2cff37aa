"""Runs made up for tests: records written through the store, with numbers that can be checked by hand."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from esrbench import tiling
from esrbench.architecture import RRDBNetSpec
from esrbench.record import (
    Attainable,
    Case,
    Environment,
    Fidelity,
    LaunchRecord,
    Memory,
    ModelRecord,
    NewShape,
    RunEnd,
    RunRecord,
    Samples,
    Status,
    TuningRecord,
    Warmup,
    Workload,
)
from esrbench.runner import DeviceType, Placement
from esrbench.store import Run, RunWriter, picture_name, read_run
from esrbench.suite import Suite
from esrbench.target import Precision, Target

TORCH = "torch@cpu:fp32"


def workload(id_: str = "t48b1", *, tile: int = 48, batch: int = 1, side: int = 100) -> Workload:
    """A square workload; 100 px at ×4 make 0.16 output megapixels."""
    return Workload(
        id=id_,
        image="astronaut",
        width_px=side,
        height_px=side,
        tile_px=tile,
        halo_px=8,
        batch=batch,
        threads=2,
        tiles=tiling.window_count(side, side, tile=tile, halo=8),
        pixels_sha256="0" * 64,
    )


def fidelity(
    mse: float = 1e-6, *, ssim: float | None = None, worst_abs: float | None = None, yx: tuple[int, int] = (3, 5)
) -> Fidelity:
    """1e-6 is 60 dB; a mean squared error of 0 is the very same picture."""
    worst = max(0.02, math.sqrt(max(mse, 0))) if mse else 0.0
    return Fidelity(
        mse=mse,
        ssim=(0.999 if mse else 1.0) if ssim is None else ssim,
        worst_abs=worst if worst_abs is None else worst_abs,
        worst_yx=yx,
        nan_count=0,
        inf_count=0,
        constant_tiles=0,
    )


def samples(image_s: float | Sequence[float] = 1.0, tile_ms: Sequence[float] = (100.0, 110.0, 120.0)) -> Samples:
    """Passes and tiles of a launch that took 0.5 s to load and 0.25 s for its first tile."""
    passes = [image_s] if isinstance(image_s, float) else image_s
    return Samples(
        load_ns=500_000_000,
        first_tile_ns=250_000_000,
        cold_ns=2_000_000_000,
        new_shape=NewShape(side_px=24, first_ns=40_000_000, again_ns=30_000_000),
        warmups=(Warmup(tiles=1, times_ns=(105_000_000,), steady=True),),
        tile_ns=tuple(round(ms * 1e6) for ms in tile_ms),
        image_ns=tuple(round(s * 1e9) for s in passes),
    )


def memory(rss_mb: float | None = 340, device_mb: float | None = None) -> Memory:
    """Peak memory in MB."""
    return Memory(
        peak_rss_bytes=None if rss_mb is None else round(rss_mb * 1e6),
        peak_rss_method="VmHWM",
        device_bytes=None if device_mb is None else round(device_mb * 1e6),
        device_method="none" if device_mb is None else "nvml",
    )


def placement(device_type: DeviceType = DeviceType.CPU, name: str = "AMD EPYC") -> Placement:
    """Proof of a device."""
    return Placement(
        device_name=name,
        device_type=device_type,
        provider="CPU",
        precision=Precision.FP32,
        nodes={},
        options={"threads": "2"},
        versions={"torch": "2.13.0"},
    )


def placement_of(target: Target) -> Placement:
    """Proof that it ran where and how its name says."""
    type_ = DeviceType.CPU if target.device_kind == "cpu" else DeviceType.GPU
    return msgspec.structs.replace(placement(type_), precision=target.precision)


def fidelity_of(target: Target) -> Fidelity:
    """Of a picture that is right: 90 dB at fp32, 60 dB else."""
    return fidelity(1e-9 if target.precision is Precision.FP32 else 1e-6)


def launch(target: str, *, round_: int = 0, workload_id: str = "t48b1", **fields: object) -> LaunchRecord:
    """A launch; one that ended ok is given samples, memory, placement and fidelity unless they are named."""
    given: dict[str, Any] = {"status": Status.OK, **fields}
    case = Case(target=Target(target), workload=workload_id)
    if given["status"] is Status.OK:
        known = {"samples": samples(), "memory": memory(), "placement": placement_of(case.target)}
        given = known | {"fidelity": fidelity_of(case.target)} | given
        given["placement"] = msgspec.structs.replace(given["placement"], precision=case.target.precision)
    return LaunchRecord(
        case=case,
        sequence=0,
        round=round_,
        started_at="2026-01-02T03:04:05Z",
        wall_ns=max(3_000_000_000, _timed_ns(given.get("samples"))),
        exit_code=0,
        **given,
    )


def _timed_ns(timed: object) -> int:
    return max(sum(timed.tile_ns), sum(timed.image_ns)) if isinstance(timed, Samples) else 0


def failed(target: str, status: Status, reason: str = "it did not work", remedy: str | None = None) -> LaunchRecord:
    """A launch that measured nothing."""
    return launch(target, status=status, reason=reason, remedy=remedy)


def environment(gpus: Sequence[str] = ()) -> Environment:
    """A machine."""
    return Environment(
        os="Linux 6.1",
        python="3.11.2",
        cpu="AMD EPYC",
        cpu_features=("avx2",),
        cpu_cores=4,
        usable_cores=2,
        memory_bytes=24_000_000_000,
        gpus=tuple(gpus),
        governor=None,
        virtual="docker",
        versions={"torch": "2.13.0", "onnxruntime-gpu": "1.27.0"},
    )


def write_run(
    folder: Path,
    launches: Sequence[LaunchRecord],
    *,
    workloads: Sequence[Workload] = (),
    cases: Sequence[Case] | None = None,
    ended: bool = True,
    notes: Sequence[str] = (),
    pictures: Mapping[str, np.ndarray] | None = None,
    gpus: Sequence[str] = (),
    attainable: Sequence[Attainable] = (),
    machine: Environment | None = None,
    tunings: Sequence[TuningRecord] = (),
    settings: Suite | None = None,
) -> Run:
    """Write a run of these launches, numbered in order, and read it back. ``pictures`` maps file names to pixels."""
    found = tuple(dict.fromkeys(launch.case for launch in launches)) if cases is None else tuple(cases)
    record = RunRecord(
        esrbench_version="0.1.0",
        created_at="2026-01-02T03:04:05Z",
        suite="quick",
        seed=7,
        budget_s=120.0,
        model=ModelRecord(
            name="realesrgan-x4plus", spec=RRDBNetSpec(blocks=23), weights_sha256="ab" * 32, source="a package"
        ),
        reference=Target(TORCH),
        workloads=tuple(workloads) or (workload(),),
        cases=found,
        environment=machine or environment(gpus),
        attainable=tuple(attainable),
        settings=settings,
    )
    writer = RunWriter.create(folder, record)
    for sequence, made in enumerate(launches):
        writer.launch(renumbered(made, sequence))
    for tuned in tunings:
        writer.tuned(tuned)
    for name, pixels in (pictures or {}).items():
        Image.fromarray(pixels).save(writer.pictures / name)
    if ended:
        writer.end(RunEnd(ended_at="2026-01-02T03:06:05Z", elapsed_s=120.0, notes=tuple(notes)))
    return read_run(folder)


def rewritten(run: Run) -> Run:
    """The run written once more, as it is in memory, with a chain of its own; its pictures are gone."""
    shutil.rmtree(run.folder)
    writer = RunWriter.create(run.folder, run.record)
    for made in run.launches:
        writer.launch(made)
    for tuned in run.tunings:
        writer.tuned(tuned)
    if run.end is not None:
        writer.end(run.end)
    return read_run(run.folder)


def renumbered(made: LaunchRecord, sequence: int) -> LaunchRecord:
    """The launch with its place in the run."""
    return msgspec.structs.replace(made, sequence=sequence)


def output_name(target: str, workload_id: str = "t48b1") -> str:
    """File name of a target's picture."""
    return picture_name(Case(target=Target(target), workload=workload_id))
