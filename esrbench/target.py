"""What is measured, as one string: ``RUNTIME@DEVICE:PRECISION``."""

import re
from collections.abc import Collection
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Self

from esrbench.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""Of runtimes and formats."""

_FORM = re.compile(rf"(?P<runtime>{NAME.pattern})@(?P<device>[a-z]+)(?P<index>[0-9]*):(?P<precision>[a-z0-9]+)")


_CHOOSERS = frozenset({"any", "auto", "hetero", "multi"})
"""Device names by which a runtime chooses, or uses several, by itself."""


class Precision(StrEnum):
    """The arithmetic of the network's convolutions."""

    FP32 = "fp32"  # IEEE single, no TF32
    TF32 = "tf32"  # single in memory, 10-bit mantissa in the tensor cores
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Target(str):
    """A runtime on a device at a precision, such as ``onnxruntime@cuda:fp16``; ``cuda1`` is the second device.

    It is its own string: id in the command line, in results and in reports.

    Raises:
        UsageError: the text has another form, or the precision is none of :class:`Precision`, or the device is
            left to the runtime.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read ``RUNTIME@DEVICE:PRECISION``; ``cuda0`` is written ``cuda``."""
        match = _FORM.fullmatch(text)
        precisions = [precision.value for precision in Precision]
        if match is None or match["precision"] not in precisions:
            raise UsageError(
                f"target {text!r} is not of the form RUNTIME@DEVICE:PRECISION, for example "
                f"'onnxruntime@cpu:fp32'; precisions: {', '.join(precisions)}"
            )
        if match["device"] in _CHOOSERS:
            raise UsageError(
                f"target {text!r} leaves the device to the runtime; what is measured must be known: name one, "
                f"for example {match['runtime']}@cpu:{match['precision']}"
            )
        index = int(match["index"] or 0)
        device = f"{match['device']}{index or ''}"
        return super().__new__(cls, f"{match['runtime']}@{device}:{match['precision']}")

    @classmethod
    def of(cls, runtime: str, device: str, precision: Precision) -> Self:
        """The target of these three parts."""
        return cls(f"{runtime}@{device}:{precision.value}")

    @property
    def runtime(self) -> str:
        """``onnxruntime`` of ``onnxruntime@cuda1:fp16``."""
        return self.partition("@")[0]

    @property
    def device(self) -> str:
        """``cuda1`` of ``onnxruntime@cuda1:fp16``."""
        return self.partition("@")[2].partition(":")[0]

    @property
    def precision(self) -> Precision:
        """``fp16`` of ``onnxruntime@cuda1:fp16``."""
        return Precision(self.partition(":")[2])

    @property
    def device_kind(self) -> str:
        """``cuda`` of ``cuda1``."""
        return self.device.rstrip("0123456789")

    @property
    def device_index(self) -> int:
        """1 of ``cuda1``, 0 of ``cuda``."""
        return int(self.device[len(self.device_kind) :] or 0)


REFERENCE = Target("torch@cpu:fp32")
"""What every picture is compared with: IEEE single precision, eager, on the CPU."""


def is_named(target: Target, patterns: Collection[str]) -> bool:
    """Whether one of these names or shell patterns, such as ``torch@cuda:*``, is the target's; none means all."""
    return not patterns or any(fnmatchcase(target, pattern) for pattern in patterns)
