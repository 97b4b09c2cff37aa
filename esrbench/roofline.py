"""What bounds a network on a device: its arithmetic and its traffic, against what the device attains.

The roofline model: a rate is bounded by the device's arithmetic, or by its memory times the arithmetic done a byte
(Williams, Waterman & Patterson, "Roofline: an insightful visual performance model for multicore architectures",
CACM 52(4), 2009, doi:10.1145/1498765.1498785). Nothing is measured here.
"""

from collections.abc import Iterable
from enum import StrEnum

from esrbench.architecture import NetworkSpec, RRDBNetSpec, SRVGGNetSpec, parameter_count
from esrbench.codec import Value
from esrbench.record import Attainable, Workload
from esrbench.target import Precision, Target

VALUE_BYTES = {Precision.FP32: 4, Precision.TF32: 4, Precision.FP16: 2, Precision.BF16: 2, Precision.INT8: 1}
"""Bytes of a weight or an activation in memory."""


class Bound(StrEnum):
    """What a target's speed is bounded by, as far as arithmetic and traffic tell."""

    COMPUTE = "compute"  # even where every operation passes through memory
    MEMORY = "memory"  # even where only convolutions do
    FUSION = "fusion"  # memory where operations pass through it one by one, arithmetic where they are fused


class Intensity(Value, frozen=True, kw_only=True):
    """Arithmetic a byte of traffic, FLOP/B, at the two ends of what a runtime that works layer by layer may do."""

    fused: float  # each convolution reads its input and writes its output once, all else is done on the way
    unfused: float  # each operation of :mod:`esrbench.model` reads its operands and writes its result


def pass_flop(spec: NetworkSpec, workload: Workload) -> float:
    """Floating-point operations of a pass through the plan: 2 a multiply-accumulate, every window's halo included.

    Convolutions alone, counted as direct ones: one by Winograd's or another fast algorithm does fewer.
    """
    return 2 * spec.macs_per_input_px() * workload.copies * workload.tiles * workload.tile_px**2


def intensity(spec: NetworkSpec, workload: Workload, precision: Precision) -> Intensity:
    """Of a whole batch: activations as they are, weights once."""
    weights = parameter_count(spec.parameter_shapes()) / (workload.batch * workload.tile_px**2)
    flop = 2 * spec.macs_per_input_px() / VALUE_BYTES[precision]
    return Intensity(
        fused=flop / (fused_values_per_input_px(spec) + weights),
        unfused=flop / (unfused_values_per_input_px(spec) + weights),
    )


def attainable_of(target: Target, known: Iterable[Attainable]) -> Attainable | None:
    """What is known of the target's device and precision."""
    return next((each for each in known if (each.device, each.precision) == (target.device, target.precision)), None)


def ridge(roof: Attainable) -> float | None:
    """FLOP/B from which on arithmetic bounds, not memory."""
    return roof.gflops_s / roof.gbytes_s if roof.gflops_s and roof.gbytes_s else None


def bound_by(found: Intensity, roof: Attainable) -> Bound | None:
    """Which of the two bounds; None where one of them is not known.

    Traffic is counted as if no cache held any of it, so that ``compute`` is certain; of ``memory`` a tile that fits a
    cache may escape.
    """
    least = ridge(roof)
    if least is None:
        return None
    if found.unfused >= least:
        return Bound.COMPUTE
    return Bound.MEMORY if found.fused < least else Bound.FUSION


def fused_values_per_input_px(spec: NetworkSpec) -> float:
    """Values read and written per input pixel where convolutions alone pass through memory, each value once."""
    return sum((conv.before + conv.after) * conv.per_input_px for conv in spec.convolutions())


def unfused_values_per_input_px(spec: NetworkSpec) -> float:
    """Values read and written per input pixel where every operation of :mod:`esrbench.model` passes through memory."""
    between = _between_rrdb(spec) if isinstance(spec, RRDBNetSpec) else _between_srvgg(spec)
    return fused_values_per_input_px(spec) + between


def _between_rrdb(spec: RRDBNetSpec) -> float:
    """What the operations between convolutions move."""
    activated = {*spec.upsamplers, "conv_hr"}
    moved = 2.0 * spec.in_channels if spec.unshuffle > 1 else 0.0  # the fold
    for conv in spec.convolutions():
        dense = conv.name.startswith("body.")
        if conv.name in activated or (dense and not conv.name.endswith("conv5")):
            moved += 2 * conv.after * conv.per_input_px  # LeakyReLU
        if dense and not conv.name.endswith("conv1"):
            moved += 2 * conv.before * conv.per_input_px  # its inputs are joined
        if conv.name in spec.upsamplers:
            moved += (1 / 4 + 1) * conv.before * conv.per_input_px  # every pixel becomes four
    # A weighted residual is scaled (2 values a channel) and summed (3): three dense blocks and their own, in each
    # block. The sum around the whole body is not weighted.
    return moved + (20 * spec.blocks + 3) * spec.features / spec.unshuffle**2


def _between_srvgg(spec: SRVGGNetSpec) -> float:
    *activated, last = spec.convolutions()
    drawn = spec.out_channels * spec.drawn_scale**2
    moved = sum(2 * conv.after for conv in activated) + 2 * last.after  # PReLU; pixel shuffle
    moved += spec.in_channels + drawn + 3 * drawn  # nearest enlargement, and its sum with what was learned
    reduced = spec.drawn_scale != spec.scale
    return float(moved + (drawn + spec.out_channels * spec.scale**2 if reduced else 0))
