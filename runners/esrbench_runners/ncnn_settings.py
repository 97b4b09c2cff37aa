"""ncnn's options: which decide the arithmetic, which are worth trying, and what certainly does not fit a device."""

from typing import Any

from esrbench.architecture import NetworkSpec, RRDBNetSpec
from esrbench.errors import EsrbenchError, OutOfMemoryError
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target

SWITCHES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
"""Options that decide the arithmetic; by default ncnn takes fp16 wherever it can. An older ncnn lacks some."""

SWITCHED_ON = {
    Precision.FP32: frozenset[str](),
    Precision.FP16: frozenset({"use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"}),
    Precision.BF16: frozenset({"use_bf16_storage"}),  # weights and activations; sums stay in fp32
}

CPU_CANDIDATES = (
    DEFAULT,
    Settings(values={"use_winograd_convolution": "0"}),
    Settings(values={"use_sgemm_convolution": "0"}),
    Settings(values={"use_winograd63_convolution": "0"}),
)
"""How a convolution is done: by ncnn's choice; without Winograd's transformation; without matrix products; without
the largest of Winograd's tiles, which costs the most memory."""

FP16_CANDIDATES = (
    DEFAULT,
    Settings(values={"use_fp16_arithmetic": "0"}),  # halves in memory, sums in single precision
    Settings(values={"use_fp16_arithmetic": "0", "use_fp16_storage": "0"}),  # halves in pairs alone
)
"""Within fp16: a device may have no fast arithmetic in halves, and all have less to move."""


def candidates(target: Target) -> tuple[Settings, ...]:
    """Settings worth trying."""
    if target.device_kind == "cpu":
        return CPU_CANDIDATES
    return FP16_CANDIDATES if target.precision is Precision.FP16 else (DEFAULT,)


def wanted(options: Any, precision: Precision, settings: Settings) -> dict[str, int]:
    """Each option to be set, with its value: the arithmetic's as the precision has it, then the chosen ones.

    Raises:
        EsrbenchError: this ncnn has no such option, or its value is no number.
    """
    switches = {name: int(name in SWITCHED_ON[precision]) for name in SWITCHES if hasattr(options, name)}
    for name, text in settings.values.items():
        if not hasattr(options, name) or not text.isdecimal():
            raise EsrbenchError(f"ncnn has no option {name}={text}")
    return switches | {name: int(text) for name, text in settings.values.items()}


def check_fits(
    target: Target, device_name: str, budget_mib: int, spec: NetworkSpec, tile_shape: tuple[int, int, int]
) -> None:
    """Refuse a tile of which it is certain that it does not fit; ncnn finds out about others by itself.

    Raises:
        OutOfMemoryError: with both figures.
    """
    _, height, width = tile_shape
    needed_mib = least_bytes(spec, target.precision, height, width) / (1 << 20)
    if needed_mib > budget_mib:
        raise OutOfMemoryError(
            f"{target}: a tile of {width}×{height} px needs more than {needed_mib:.0f} MiB, "
            f"{device_name} has {budget_mib} MiB to give"
        )


def least_bytes(spec: NetworkSpec, precision: Precision, height: int, width: int) -> int:
    """What must be in memory at once for a tile: input and output of the convolution over the most pixels."""
    pixels = height * width * (spec.scale**2 if isinstance(spec, RRDBNetSpec) else 1)
    value_bytes = 2 if precision is Precision.FP16 else 4
    return 2 * spec.features * pixels * value_bytes
