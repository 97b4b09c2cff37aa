"""Fakes for tests of whatever uses runners and exporters: no runtime, no torch, no real clock. Public API.

In one process, script a runner and let it turn a clock of yours::

    clock = FakeClock()
    script = FakeScript(target=Target("fake@cpu:fp32"), tile_ns=(9_000_000, 2_000_000))
    runner = FakeRunner((script,), clock)

Across processes, make the fakes a distribution that every child finds, and script them by the environment::

    write_distribution(folder, "esrbench-fakes", FAKE_ENTRY_POINTS)
    environment = os.environ | {"PYTHONPATH": str(folder), SCRIPTS_VARIABLE: encode_scripts(scripts)}

The picture is enlarged by repeating pixels. That is exactly what a ``SRVGGNetCompact`` with all weights zero draws, so
that a fake passes the parity gate against ``torch@cpu:fp32`` with such a network.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from esrbench import codec
from esrbench.artifact import Format, LocatedArtifact
from esrbench.availability import refused, require, usable
from esrbench.errors import OutOfMemoryError, PlacementError
from esrbench.exporter import ExportedFiles, Exporter, ExportOptions, Model
from esrbench.runner import Availability, DeviceType, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target

FAKE = Format("fake")
"""The format that :class:`FakeExporter` writes and :class:`FakeRunner` loads."""

SCRIPTS_VARIABLE = "ESRBENCH_FAKE_SCRIPTS"
"""Environment variable from which a :class:`FakeRunner` made without arguments takes its scripts."""

_NO_TEXT = b"\x00\xff{]\xfe not a record \x80\n"

FAKE_ENTRY_POINTS = {
    "esrbench.runners": {"fake": "esrbench.testing:FakeRunner"},
    "esrbench.exporters": {"fake": "esrbench.testing:FakeExporter"},
}
"""For :func:`write_distribution`."""


class Fault(StrEnum):
    """What goes wrong."""

    RAISE = "raise"  # RuntimeError, as from a runtime that esrbench does not know
    OOM = "oom"  # OutOfMemoryError, as from a runner that translates its runtime's error
    MEMORY = "memory"  # asks for 16 GiB of address space: refused under `ulimit -v`, else harmless
    WRONG = "wrong"  # the picture is upside down
    BLACK = "black"
    NAN = "nan"  # in float tiles
    FELL_BACK = "fell_back"  # placement() refuses
    UNAVAILABLE = "unavailable"  # targets() and load() refuse
    CRASH = "crash"  # the process is killed
    HANG = "hang"  # for ever
    SILENT = "silent"  # the process ends with exit code 0 and no result
    GARBAGE = "garbage"  # the same, with bytes in the place of its result
    CHATTER = "chatter"  # bytes that are no text on standard output and standard error; harmless


class Moment(StrEnum):
    """When a fault that stops the work strikes."""

    PROBE = "probe"  # targets()
    PRECISION = "precision"  # artifact_precision(): in the command's own process
    LOAD = "load"
    RUN = "run"
    STREAM = "stream"
    PLACEMENT = "placement"
    NEW_SHAPE = "new_shape"  # run() on another shape than it was loaded for
    CLOSE = "close"


class FakeScript(codec.Value, frozen=True, kw_only=True):
    """How one target behaves."""

    target: Target
    load_ns: int = 0
    tile_ns: tuple[int, ...] = (1_000_000,)  # of each tile in turn; the last value goes on
    device_name: str = "a fake"
    device_type: DeviceType = DeviceType.CPU
    fault: Fault | None = None
    moment: Moment = Moment.RUN
    good_runs: int = 0  # batches that succeed before a fault strikes
    candidates: tuple[Settings, ...] = (DEFAULT,)
    faulty: Settings | None = None  # a session with other settings has no fault; None: with all


DEFAULT_SCRIPTS = (FakeScript(target=Target("fake@cpu:fp32")),)


class FakeClock:
    """``time.perf_counter_ns`` for tests: stands still until it is advanced."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """The time in nanoseconds."""
        return self.now_ns

    def advance(self, duration_ns: int) -> None:
        """Let ``duration_ns`` pass."""
        self.now_ns += duration_ns


class FakeRunner(Runner):
    """Runs ``fake`` artifacts on numpy, as slow and as faulty as scripted; durations pass on ``clock`` only."""

    name: ClassVar[str] = "fake"
    accepts: ClassVar[frozenset[Format]] = frozenset({FAKE})

    def __init__(self, scripts: Sequence[FakeScript] | None = None, clock: FakeClock | None = None) -> None:
        self._scripts = {script.target: script for script in (_environment_scripts() if scripts is None else scripts)}
        self._clock = clock or FakeClock()

    def targets(self) -> Sequence[Availability]:
        """Every scripted target."""
        for script in self._scripts.values():
            _strike(script, Moment.PROBE)
        return [_availability(script) for script in self._scripts.values()]

    def artifact_precision(self, target: Target) -> Precision:
        """As the target."""
        _strike(self._scripts[target], Moment.PRECISION)
        return target.precision

    def candidates(self, target: Target) -> Sequence[Settings]:
        """The scripted ones."""
        return self._scripts[target].candidates

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> "FakeSession":
        """A session that behaves as the target's script says."""
        require(target, [_availability(script) for script in self._scripts.values()])
        script = self._scripts[target]
        if script.faulty not in (None, options.settings):
            script = msgspec.structs.replace(script, fault=None)
        _strike(script, Moment.LOAD)
        self._clock.advance(script.load_ns)
        kind = _FakeStream if script.moment is Moment.STREAM else FakeSession
        return kind(script, int(artifact.path().read_text(encoding="utf-8")), options, self._clock)


class FakeSession(Session):
    """Enlarges by repeating pixels; ``batches`` and ``closed`` tell a test what was done with it."""

    def __init__(self, script: FakeScript, scale: int, options: LoadOptions, clock: FakeClock) -> None:
        self._script = script
        self._scale = scale
        self._options = options
        self._clock = clock
        self._tiles_done = 0
        self.batches: list[tuple[int, ...]] = []  # shape of each
        self.closed = False

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale, or fail as scripted."""
        if tiles.shape[1:3] != self._options.tile_shape[1:]:
            _strike(self._script, Moment.NEW_SHAPE)
        elif len(self.batches) >= self._script.good_runs:
            _strike(self._script, Moment.RUN)
        self.batches.append(tiles.shape)
        for _ in range(len(tiles)):
            self._clock.advance(self._script.tile_ns[min(self._tiles_done, len(self._script.tile_ns) - 1)])
            self._tiles_done += 1
        upscaled: Tiles = tiles.repeat(self._scale, axis=1).repeat(self._scale, axis=2)
        return upscaled if len(self.batches) <= self._script.good_runs else _spoilt(upscaled, self._script.fault)

    def placement(self) -> Placement:
        """The script's device."""
        _strike(self._script, Moment.PLACEMENT)
        if self._script.fault is Fault.FELL_BACK:
            raise PlacementError(f"{self._script.target}: scripted to fall back", "change the script")
        return Placement(
            device_name=self._script.device_name,
            device_type=self._script.device_type,
            provider="numpy",
            precision=self._script.target.precision,
            nodes={"numpy": 1},
            options={"threads": str(self._options.threads), **self._options.settings.values},
            versions={"numpy": np.__version__},
        )

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
        _strike(self._script, Moment.CLOSE)


class _FakeStream(FakeSession):
    """One that streams in a way of its own, and fails there."""

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        """Fail as scripted."""
        _strike(self._script, Moment.STREAM)
        return super().stream(batches)


class FakeExporter(Exporter):
    """Writes a file that holds the scale."""

    format: ClassVar[Format] = FAKE
    precisions: ClassVar[frozenset[Precision]] = frozenset(Precision)
    proved_by: ClassVar[tuple[str, ...]] = ("fake",)

    def versions(self) -> dict[str, str]:
        """A fixed one."""
        return {"esrbench-fakes": "1"}

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """One small text file."""
        path = out_dir / f"{model.name}.fake"
        path.write_text(str(model.spec.scale), encoding="utf-8")
        return ExportedFiles(paths=(path,), options={}, versions=self.versions())


def encode_scripts(scripts: Sequence[FakeScript]) -> str:
    """JSON for :data:`SCRIPTS_VARIABLE`."""
    return codec.encode(tuple(scripts)).decode()


def write_distribution(folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Make ``folder``, once on ``sys.path``, hold an installed distribution with these group → name → value."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines: list[str] = []
    for group, entries in entry_points.items():
        lines += [f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _environment_scripts() -> tuple[FakeScript, ...]:
    text = os.environ.get(SCRIPTS_VARIABLE)
    return DEFAULT_SCRIPTS if text is None else codec.decode(text.encode(), tuple[FakeScript, ...], SCRIPTS_VARIABLE)


def _availability(script: FakeScript) -> Availability:
    if script.fault is Fault.UNAVAILABLE:
        return refused([script.target], "scripted to be unavailable", "change the script")[0]
    return usable([script.target], script.device_name, script.device_type)[0]


def _strike(script: FakeScript, moment: Moment) -> None:
    """Let a fault that stops the work happen, if it is due now."""
    if script.moment is not moment:
        return
    match script.fault:
        case Fault.RAISE:
            raise RuntimeError("scripted to raise")
        case Fault.OOM:
            raise OutOfMemoryError(f"{script.target}: scripted to run out of memory")
        case Fault.CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.HANG:
            threading.Event().wait()
        case Fault.MEMORY:
            _take_address_space()
        case Fault.SILENT:
            os._exit(0)
        case Fault.GARBAGE:
            Path(sys.argv[1]).write_bytes(_NO_TEXT)
            os._exit(0)
        case Fault.CHATTER:
            for descriptor in (1, 2):
                os.write(descriptor, _NO_TEXT)


def _take_address_space() -> None:
    """16 GiB that are never touched: harmless, unless the process may not have so much address space."""
    taken = [np.empty(1 << 26, np.uint8) for _ in range(256)]
    del taken


def _spoilt(upscaled: Tiles, fault: Fault | None) -> Tiles:
    match fault:
        case Fault.WRONG:
            return upscaled[:, ::-1].copy()
        case Fault.BLACK:
            return np.zeros_like(upscaled)
        case Fault.NAN:
            return np.full_like(upscaled, np.nan)
        case _:
            return upscaled
