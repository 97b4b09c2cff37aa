"""The contract of an exporter: a model in, one artifact's files out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.architecture import NetworkSpec
from esrbench.artifact import Format, Interface
from esrbench.codec import Value
from esrbench.errors import UnavailableError
from esrbench.target import Precision

Weights = Mapping[str, npt.NDArray[np.float32]]
"""Official parameter name → array, in module order, shapes as :meth:`NetworkSpec.parameter_shapes`."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A network with its weights: what every exporter starts from."""

    name: str
    spec: NetworkSpec
    weights: Weights
    weights_sha256: str  # of the canonical weights, not of the file that they came from
    source: str  # where the weights came from, for people


class ExportOptions(Value, frozen=True, kw_only=True):
    """What an export is asked for; an option at its default leaves the choice to the exporter."""

    precision: Precision = Precision.FP32
    io: Interface = Interface.FLOAT
    shape: tuple[int, int, int] | None = None  # (N, H, W) of the one input that it takes; None: any
    opset: int | None = None

    def asked(self) -> frozenset[str]:
        """Names of the options, precision apart, that are not at their default."""
        return frozenset(name for name in ("io", "shape", "opset") if getattr(self, name) != getattr(_DEFAULTS, name))

    def only(self, takes: frozenset[str]) -> "ExportOptions":
        """These options less those besides the precision that are not in ``takes``."""
        kept = {name: getattr(self, name) for name in self.asked() & takes}
        return ExportOptions(precision=self.precision, **kept)


_DEFAULTS = ExportOptions()


class ExportedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What an exporter hands back: the files, the one that a runtime opens first in front."""

    paths: tuple[Path, ...]
    options: dict[str, str]  # what it chose by itself: opset, blob names, …
    versions: dict[str, str]  # of the libraries it used
    notes: tuple[str, ...] = ()  # what whoever uses the files should know


class Exporter(ABC):
    """Writes models in one format. Found through the entry point group ``esrbench.exporters``.

    An instance holds no state; ``export`` runs in a process of its own, so it may be as heavy as it must.
    """

    format: ClassVar[Format]
    precisions: ClassVar[frozenset[Precision]]
    takes: ClassVar[frozenset[str]] = frozenset()
    """Options of :class:`ExportOptions` besides the precision that this format knows; others are refused."""

    proved_by: ClassVar[tuple[str, ...]] = ()
    """Runtimes whose runners prove a file of this format, asked in this order; with none, files stay unproved."""

    portable: ClassVar[bool] = True
    """False: made for the machine that it is made on, so written only where it is asked for by name."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions that decide the bytes written: part of the cache key. Imports nothing heavy."""

    @abstractmethod
    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Write ``model`` into ``out_dir``, an empty folder; file names begin with the model's name.

        Raises:
            ExportError: the format cannot hold this model, or the library behind it failed.
        """


def check_options(exporter: Exporter, options: ExportOptions) -> None:
    """Refuse a precision that the format is not written in, and options that it does not know.

    Raises:
        UnavailableError: with the precisions or options that it has.
    """
    if options.precision not in exporter.precisions:
        known = ", ".join(sorted(precision.value for precision in exporter.precisions))
        raise UnavailableError(
            f"{exporter.format} is not written as {options.precision.value}", f"choose one of {known}"
        )
    unknown = sorted(options.asked() - exporter.takes)
    if unknown:
        known = ", ".join(sorted(exporter.takes)) or "none"
        raise UnavailableError(f"{exporter.format} has no option {', '.join(unknown)}", f"its options: {known}")


def artifact_stem(model: Model, options: ExportOptions) -> str:
    """``NAME``, followed by what is not the default: ``NAME-fp16-image-1x64x64``. A folder can hold every variant."""
    parts = [model.name]
    if options.precision is not Precision.FP32:
        parts.append(options.precision.value)
    if options.io is not Interface.FLOAT:
        parts.append(options.io.value)
    if options.shape is not None:
        parts.append("x".join(map(str, options.shape)))
    if options.opset is not None:
        parts.append(f"opset{options.opset}")
    return "-".join(parts)


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of these distributions, without importing them; an absent one is left out."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
