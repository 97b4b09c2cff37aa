"""Real runtimes under second names: a twin, and two that take 5 % and 10 % longer for each step. Found as a plug-in."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from esrbench import plugins
from esrbench.artifact import Format, LocatedArtifact
from esrbench.runner import Availability, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.target import Precision, Target
from esrbench.testing import write_distribution

RUNTIMES = ("torch", "onnxruntime", "openvino", "ncnn")
EXTRA = {"twin": 0.0, "slow5": 0.05, "slow10": 0.10}
TWIN, *SLOWED = EXTRA


class SlowedSession(Session):
    """Another session; each step takes ``extra`` of its time longer, spent spinning."""

    def __init__(self, inner: Session, extra: float) -> None:
        self._inner = inner
        self._extra = extra

    def run(self, tiles: Tiles) -> Tiles:
        """As the other, then wait."""
        begin_ns = time.perf_counter_ns()
        output = self._inner.run(tiles)
        self._spin(begin_ns)
        return output

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        """As the other, and wait after each step."""
        begin_ns = time.perf_counter_ns()
        for output in self._inner.stream(batches):
            self._spin(begin_ns)
            yield output
            begin_ns = time.perf_counter_ns()

    def placement(self) -> Placement:
        """The other's."""
        return self._inner.placement()

    def close(self) -> None:
        """Close the other."""
        self._inner.close()

    def _spin(self, begin_ns: int) -> None:
        until_ns = time.perf_counter_ns() + round((time.perf_counter_ns() - begin_ns) * self._extra)
        while time.perf_counter_ns() < until_ns:
            pass


class Slowed(Runner):
    """Another runner, by another name."""

    of: ClassVar[str]
    extra: ClassVar[float]

    def targets(self) -> Sequence[Availability]:
        """The other's."""
        return [
            msgspec.structs.replace(entry, target=Target.of(self.name, entry.target.device, entry.target.precision))
            for entry in plugins.runner(self.of).targets()
        ]

    def artifact_precision(self, target: Target) -> Precision:
        """The other's."""
        return plugins.runner(self.of).artifact_precision(self._inner(target))

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """The other's, slowed."""
        return SlowedSession(plugins.runner(self.of).load(artifact, self._inner(target), options), self.extra)

    def _inner(self, target: Target) -> Target:
        return Target.of(self.of, target.device, target.precision)


ACCEPTS = {"torch": "pytorch", "onnxruntime": "onnx", "openvino": "onnx", "ncnn": "ncnn"}
"""Format of each, here too: a plug-in's class must not load another one to be defined."""


def name_of(runtime: str, label: str) -> str:
    """Runtime name of a second one: ``onnxruntime-slow5``."""
    return f"{runtime}-{label}"


def _class_name(runtime: str, label: str) -> str:
    return f"{runtime.title()}{label.title()}"


for _runtime in RUNTIMES:
    for _label, _extra in EXTRA.items():
        globals()[_class_name(_runtime, _label)] = type(
            _class_name(_runtime, _label),
            (Slowed,),
            {
                "name": name_of(_runtime, _label),
                "accepts": frozenset({Format(ACCEPTS[_runtime])}),
                "of": _runtime,
                "extra": _extra,
            },
        )


def install(folder: Path) -> None:
    """Make ``folder``, on ``PYTHONPATH`` beside this file's, a distribution that holds them all."""
    runners = {
        name_of(runtime, label): f"slowed:{_class_name(runtime, label)}" for runtime in RUNTIMES for label in EXTRA
    }
    write_distribution(folder, "esrbench-slowed", {"esrbench.runners": runners})
