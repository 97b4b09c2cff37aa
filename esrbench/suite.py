"""What to run: presets and TOML files."""

import re
from importlib import resources
from pathlib import Path

import msgspec

from esrbench.codec import Value
from esrbench.command import Command
from esrbench.errors import UnknownNameError, UsageError
from esrbench.system import files
from esrbench.system.child_environment import check_asked
from esrbench.target import Target

MIN_BUDGET_S = 10.0
"""Below this not even one process of a deep-learning runtime is sure to start and load a model."""

MIN_PRECISION_PERCENT, MAX_PRECISION_PERCENT = 0.001, 50.0
"""An interval that reaches further than this tells nothing apart that anyone would mistake."""

LONGEST_S = 1e6
"""Of anything that a suite times: 11.6 days. poll(2), which waits for a launch, counts 2.1e6 s at most."""

SHORTEST_S = 1e-6
MOST_SEED = 1 << 62

MOST_ROUNDS = 10_000
LARGEST_TILE_PX = 1 << 14
MOST_TILES = 1 << 16
"""In a batch, or batches in a pass: a network's memory ends long before."""

MOST_THREADS = 1 << 12

_MOST_FILE_BYTES = 1 << 20

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class WorkloadPlan(Value, frozen=True, kw_only=True):
    """A workload as a suite names it."""

    image: str  # a sample's name or a path
    crop: tuple[int, int, int, int] | None = None  # top, left, height, width; None: the whole picture
    middle: int | None = None  # instead of a crop: the side of a square from the picture's middle
    tile: int
    halo: int
    batch: int = 1
    min_batches: int = 1  # in a pass, whose tiles come again and again until there are so many
    sweep: bool = False  # made by a [sweep]

    def __post_init__(self) -> None:
        check_range("tile", self.tile, 1, LARGEST_TILE_PX)
        check_range("halo", self.halo, 0, LARGEST_TILE_PX)
        check_range("batch", self.batch, 1, MOST_TILES)
        check_range("min_batches", self.min_batches, 1, MOST_TILES)

    @property
    def id(self) -> str:
        """Short and unique in a suite that differs in tile and batch only: ``t48b1``."""
        return f"t{self.tile}b{self.batch}"


class Sweep(Value, frozen=True, kw_only=True):
    """Every tile with every batch: what speed costs in memory, and where memory ends. The ``[sweep]`` of a suite file.

    The picture of each tile is as large as the tile's core, from the middle of the image, so that megapixels a second
    are those of a picture much larger than a tile, and the reference has one tile to draw. Beside workloads a sweep
    is launched once, for its frontier; alone, in every round.
    """

    image: str = "astronaut"
    tiles: tuple[int, ...] = (64, 128, 192, 256)
    batches: tuple[int, ...] = (1, 2)
    halo: int = 16
    min_batches: int = 1  # as of a workload: a stream overlaps copies with compute where it has several
    targets: tuple[str, ...] = ()  # of those that the suite measures; shell patterns; empty: all

    def __post_init__(self) -> None:
        if not self.tiles or not self.batches:
            raise UsageError("a [sweep] needs at least one of tiles and one of batches")
        self.plans()

    def plans(self) -> tuple[WorkloadPlan, ...]:
        """A workload for each tile and batch, small ones first."""
        sizes = sorted({(tile, batch) for tile in self.tiles for batch in self.batches}, key=size)
        return tuple(self._plan(tile, batch) for tile, batch in sizes)

    def _plan(self, tile: int, batch: int) -> WorkloadPlan:
        core = tile - 2 * self.halo
        if core < 1:
            raise UsageError(f"a [sweep] with tile {tile} and halo {self.halo} leaves nothing between the halos")
        return WorkloadPlan(
            image=self.image,
            middle=core,
            tile=tile,
            halo=self.halo,
            batch=batch,
            min_batches=self.min_batches,
            sweep=True,
        )


def size(tile_and_batch: tuple[int, int]) -> tuple[int, int]:
    """What small and large mean: pixels that the network sees at once, then the tile."""
    tile, batch = tile_and_batch
    return tile * tile * batch, tile


class Suite(Value, frozen=True, kw_only=True):
    """What a run measures, and for how long. The form of a ``FILE.toml``."""

    name: str
    model: str
    workloads: tuple[WorkloadPlan, ...] = ()
    sweep: Sweep | None = None
    targets: tuple[str, ...] = ()  # empty: every target of every runtime
    only: tuple[str, ...] = ()  # where `targets` is empty: of all those these alone; shell patterns; empty: all
    devices: tuple[str, ...] = ()  # kinds of device beside the reference, where `targets` is empty; empty: all
    commands: tuple[Command, ...] = ()  # other programs, measured beside the targets
    on_request: bool = False  # where `targets` is empty: also runtimes that are slow to prepare
    budget_s: float = 240.0  # for measured launches; the first one of each case may use it up
    max_rounds: int = 5
    precision_percent: float | None = None  # rounds end when every interval is within ± this; None: with the budget
    tune: bool | None = (
        None  # True: find each target's fastest settings first; None: use those found before; False: defaults
    )
    tune_s: float = 300.0  # for that, apart from the budget
    environment: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # variables of every launch, beside the clean ones
    control: bool = True  # measure one case under a second name too: what differs between the two is noise
    roofline: bool = True  # probe before the first launch what each device can reach
    timeout_s: float = 240.0  # of one launch
    warmup_s: float = 3.0
    measure_s: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.workloads and self.sweep is None:
            raise UsageError(f"suite {self.name!r} names no workload; add a [[workloads]] table or a [sweep]")
        check_range("max_rounds", self.max_rounds, 1, MOST_ROUNDS)
        for name in ("timeout_s", "measure_s", "tune_s"):
            check_range(name, getattr(self, name), SHORTEST_S, LONGEST_S)
        check_range("warmup_s", self.warmup_s, 0, LONGEST_S)
        check_range("budget_s", self.budget_s, MIN_BUDGET_S, LONGEST_S)
        check_range("seed", self.seed, -MOST_SEED, MOST_SEED)
        if self.precision_percent is not None:
            check_range("precision_percent", self.precision_percent, MIN_PRECISION_PERCENT, MAX_PRECISION_PERCENT)
        check_asked(self.environment)
        ids = [workload.id for workload in self.workloads]
        if len(set(ids)) != len(ids):
            raise UsageError(f"suite {self.name!r} names a workload twice: {', '.join(ids)}; vary tile or batch")
        for target in self.targets:
            Target(target)
        commands = [command.target for command in self.commands]
        twice = sorted({target for target in commands if commands.count(target) > 1})
        if twice:
            raise UsageError(f"suite {self.name!r} names a command twice: {', '.join(twice)}; give each its own name")

    @property
    def plans(self) -> tuple[WorkloadPlan, ...]:
        """The workloads, then those of the sweep that are not among them."""
        own = {plan.id for plan in self.workloads}
        return (*self.workloads, *(plan for plan in (self.sweep.plans() if self.sweep else ()) if plan.id not in own))

    @property
    def is_for_devices(self) -> bool:
        """Whether it compares kinds of device: its reference, on the CPU, is launched once."""
        return bool(self.devices) and not self.targets


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value of a suite that lies outside.

    NaN lies outside of every range.

    Raises:
        UsageError: name it, with its range.
    """
    if not low <= value <= high:
        raise UsageError(f"{name} = {value} was asked for; it must be between {low:g} and {high:g}")


def preset_names() -> tuple[str, ...]:
    """The suites that come with esrbench."""
    folder = resources.files("esrbench") / "suites"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(name: str) -> Suite:
    """A preset, or a suite of one's own from ``FILE.toml``.

    Raises:
        UnknownNameError: no preset of that name, and no file.
        UsageError: the file is not a suite.
    """
    if name in preset_names():
        return _decode((resources.files("esrbench") / "suites" / f"{name}.toml").read_bytes(), name)
    path = Path(name)
    if path.suffix != ".toml":
        raise UnknownNameError("suite", name, [*preset_names(), "FILE.toml"])
    try:
        return _decode(files.read_named(path, _MOST_FILE_BYTES), name)
    except OSError as error:
        raise UsageError(f"suite {name}: the file cannot be read: {error.strerror}") from error


def seconds(text: str) -> float:
    """``90``, ``90s``, ``2m`` or ``1.5h`` in seconds.

    Raises:
        UsageError: no such form, or not positive.
    """
    match = re.fullmatch(r"\s*(-?[0-9]*\.?[0-9]+)\s*([smh]?)\s*", text)
    if match is None:
        raise UsageError(f"budget {text!r} is not a duration; write for example 90s, 2m or 1.5h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def percent(text: str) -> float:
    """``1%``, ``1 %`` or ``0.5`` in per cent.

    Raises:
        UsageError: no such form.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*%?\s*", text)
    if match is None:
        raise UsageError(f"precision {text!r} is no percentage; write for example 1% or 0.5%")
    return float(match[1])


def _decode(data: bytes, name: str) -> Suite:
    try:
        return msgspec.toml.decode(data, type=Suite)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"suite {name}: {error}") from error


class Overrides(Value, frozen=True, kw_only=True):
    """What someone asks for instead of what the suite says; None and empty leave it as it is."""

    model: str | None = None
    targets: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    image: str | None = None  # taken whole
    tiles: tuple[int, ...] = ()
    halo: int | None = None
    batches: tuple[int, ...] = ()
    budget_s: float | None = None
    precision_percent: float | None = None
    tune: bool | None = None
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    sweep: bool = False  # tiles and batches are those of a sweep, which is all that is measured


def override(suite: Suite, wanted: Overrides) -> Suite:
    """``suite`` with ``wanted`` in its place; every tile is measured with every batch.

    Asked for another picture, tile, halo or batch, a suite's own sweep is left out: it would no longer belong to it.

    Raises:
        UsageError: the result is no valid suite.
    """
    replace = msgspec.structs.replace
    if wanted.model is not None:
        suite = replace(suite, model=wanted.model)
    if wanted.targets:
        named = {Target(text) for text in wanted.targets}
        kept = tuple(command for command in suite.commands if command.target in named)
        suite = replace(suite, targets=wanted.targets, commands=kept)
    if wanted.commands:
        suite = replace(suite, commands=(*suite.commands, *wanted.commands))
    if wanted.budget_s is not None:
        suite = replace(suite, budget_s=wanted.budget_s)
    if wanted.precision_percent is not None:
        suite = replace(suite, precision_percent=wanted.precision_percent)
    if wanted.tune is not None:
        suite = replace(suite, tune=wanted.tune)
    if wanted.environment:
        suite = replace(suite, environment=suite.environment | wanted.environment)
    if wanted.sweep:
        return replace(suite, workloads=(), sweep=_sweep(suite, wanted))
    plans = _workloads(suite.workloads, wanted)
    return replace(suite, workloads=plans, sweep=suite.sweep if plans == suite.workloads else None)


def _sweep(suite: Suite, wanted: Overrides) -> Sweep:
    """The suite's own sweep, or the usual one, with what is asked for in its place."""
    asked = {"image": wanted.image, "tiles": wanted.tiles, "batches": wanted.batches, "halo": wanted.halo}
    given = {name: value for name, value in asked.items() if value not in (None, ())}
    return msgspec.structs.replace(suite.sweep or Sweep(), **given)


def _workloads(plans: tuple[WorkloadPlan, ...], wanted: Overrides) -> tuple[WorkloadPlan, ...]:
    if wanted.image is None and not wanted.tiles and wanted.halo is None and not wanted.batches:
        return plans
    if not plans:
        raise UsageError("the suite has a [sweep] alone; say --sweep beside --image, --tile, --halo or --batch")
    replace = msgspec.structs.replace
    if wanted.image is not None:
        plans = tuple(replace(plan, image=wanted.image, crop=None) for plan in plans)
    if wanted.halo is not None:
        plans = tuple(replace(plan, halo=wanted.halo) for plan in plans)
    tiles = wanted.tiles or tuple(dict.fromkeys(plan.tile for plan in plans))
    batches = wanted.batches or tuple(dict.fromkeys(plan.batch for plan in plans))
    return tuple(replace(plans[0], tile=tile, batch=batch) for tile in tiles for batch in batches)
