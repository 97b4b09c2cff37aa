"""In what two runs are unlike: what would make a difference between their speeds mean something else."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from esrbench.codec import Value
from esrbench.errors import UsageError
from esrbench.record import Case, Environment, LaunchRecord, RunRecord, Workload
from esrbench.store import Run

MEMORY_TOLERANCE = 0.01
"""How much of a machine's memory may differ: kernels reserve a little more or less from boot to boot."""

READINGS = ("_s", "_mib", "_path")
"""Ends of names in a placement's options of what a launch found or where it kept something, and not how it was set."""

FOUND = frozenset({"engine", "tensorrt"})
"""Options that a launch found, by their whole names: whether TensorRT's engine was in the cache, and its version."""


class Aspect(StrEnum):
    """A kind of unlikeness, as ``--allow`` names it."""

    MACHINE = "machine"
    WEIGHTS = "weights"
    WORKLOAD = "workload"
    THREADS = "threads"
    VERSIONS = "versions"
    ENVIRONMENT = "environment"  # variables of launches that can steer a runtime
    SETTINGS = "settings"  # of the runtimes, and how long a launch warms up and measures


class Difference(Value, frozen=True, kw_only=True):
    """One thing in which two runs are unlike, with both values."""

    aspect: Aspect
    what: str
    base: str
    head: str


def differences(base: Run, head: Run) -> tuple[Difference, ...]:
    """Everything in which two runs are unlike, of what their records tell."""
    records = base.record, head.record
    return (
        *_differing(Aspect.MACHINE, *(_machine(record.environment) for record in records)),
        *_unlike_memory(*records),
        *_differing(Aspect.WEIGHTS, *(_weights(record) for record in records)),
        *_unlike_workloads(*records),
        *_differing(Aspect.VERSIONS, *(_versions(record) for record in records)),
        *_differing(Aspect.VERSIONS, *_reported(base, head)),
        *_differing(Aspect.ENVIRONMENT, *_variables(*records)),
        *_differing(Aspect.SETTINGS, *_protocols(*records)),
        *_unlike_settings(base, head),
    )


def refuse_unlike(base: Run, head: Run, allowed: Iterable[Aspect]) -> tuple[Difference, ...]:
    """The differences of two runs, once each of them is allowed.

    Raises:
        UsageError: some are not; each is named with both values.
    """
    found = differences(base, head)
    permitted = set(allowed)
    refused = [difference for difference in found if difference.aspect not in permitted]
    if refused:
        lines = [f"  {each.aspect}: {each.what}: {each.base} | {each.head}" for each in refused]
        options = " ".join(f"--allow {aspect}" for aspect in dict.fromkeys(each.aspect for each in refused))
        raise UsageError(
            f"{base.name} and {head.name} are unlike, so their speeds do not compare:\n"
            + "\n".join(lines)
            + f"\nif that is what you want to compare, say {options}"
        )
    return found


def _differing(aspect: Aspect, base: dict[str, str], head: dict[str, str]) -> Iterator[Difference]:
    for what in dict.fromkeys([*base, *head]):
        values = base.get(what, "none"), head.get(what, "none")
        if values[0] != values[1]:
            yield Difference(aspect=aspect, what=what, base=values[0], head=values[1])


def _machine(facts: Environment) -> dict[str, str]:
    return {
        "processor": facts.cpu,
        "instruction sets": ", ".join(facts.cpu_features) or "none",
        "cores": str(facts.cpu_cores),
        "usable cores": str(facts.usable_cores),
        "graphics devices": "; ".join(facts.gpus) or "none",
        "operating system": facts.os,
        "frequency governor": facts.governor or "not known",
        "virtualisation": facts.virtual or "not known",
    }


def _unlike_memory(base: RunRecord, head: RunRecord) -> Iterator[Difference]:
    sizes = [record.environment.memory_bytes for record in (base, head)]
    if max(sizes) > min(sizes) * (1 + MEMORY_TOLERANCE):
        texts = [f"{size / 1e9:.1f} GB" for size in sizes]
        yield Difference(aspect=Aspect.MACHINE, what="memory", base=texts[0], head=texts[1])


def _weights(record: RunRecord) -> dict[str, str]:
    return {"model": record.model.name, "weights": _short(record.model.weights_sha256)}


def _unlike_workloads(base: RunRecord, head: RunRecord) -> Iterator[Difference]:
    """Of the workloads that bear the same name in both; the others' cases have nothing to be compared with."""
    others = {workload.id: workload for workload in head.workloads}
    for workload in base.workloads:
        other = others.get(workload.id)
        if other is None:
            continue
        yield from _differing(Aspect.WORKLOAD, _pixels(workload), _pixels(other))
        name = f"threads of {workload.id}"
        yield from _differing(Aspect.THREADS, {name: str(workload.threads)}, {name: str(other.threads)})


def _pixels(workload: Workload) -> dict[str, str]:
    return {
        f"image of {workload.id}": workload.image,
        f"size of {workload.id}": f"{workload.width_px}×{workload.height_px} px",
        f"tiles of {workload.id}": f"{workload.tiles} of {workload.tile_px} px, halo {workload.halo_px} px",
        f"batch of {workload.id}": str(workload.batch),
        f"copies of the tiles of {workload.id}": str(workload.copies),
        f"pixels of {workload.id}": _short(workload.pixels_sha256),
    }


def _versions(record: RunRecord) -> dict[str, str]:
    facts = record.environment
    return {"esrbench": record.esrbench_version, "Python": facts.python, **facts.versions}


def _reported(base: Run, head: Run) -> tuple[dict[str, str], dict[str, str]]:
    """What runtimes said of themselves where both runs heard them: versions of drivers and backends."""
    found = [_said(run.launches, set(run.record.environment.versions)) for run in (base, head)]
    shared = found[0].keys() & found[1].keys()
    base_said, head_said = ({name: said[name] for name in sorted(shared)} for said in found)
    return base_said, head_said


def _said(launches: Sequence[LaunchRecord], known: set[str]) -> dict[str, str]:
    return {
        f"{name} of {launch.case.target}": version
        for launch in launches
        if launch.placement
        for name, version in launch.placement.versions.items()
        if name not in known
    }


def _variables(base: RunRecord, head: RunRecord) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables of launches, where both runs record them."""
    if base.launch_environment is None or head.launch_environment is None:
        return {}, {}
    ours, theirs = (each.passed | each.asked for each in (base.launch_environment, head.launch_environment))
    return ours, theirs


def _protocols(base: RunRecord, head: RunRecord) -> Iterator[dict[str, str]]:
    """How long launches warm up and measure, where both runs tell."""
    suites = base.settings, head.settings
    for suite in suites:
        known = suite is not None and None not in suites
        yield {"warm-up": f"{suite.warmup_s:g} s", "timed loop": f"{suite.measure_s:g} s"} if suite and known else {}


def _unlike_settings(base: Run, head: Run) -> Iterator[Difference]:
    """What the cases that both runs have were launched with: what was chosen, else what their runtimes said of it."""
    chosen = [_chosen(run) for run in (base, head)]
    said = [_options(run) for run in (base, head)]
    for case in base.record.cases:
        if case.control or case not in head.record.cases:
            continue
        ours, theirs = (said[side].get(case, {}) | chosen[side].get(case, {}) for side in (0, 1))
        either = chosen[0].get(case, {}).keys() | chosen[1].get(case, {}).keys()
        name = f"{case.target} {case.workload}" if len(base.record.workloads) > 1 else str(case.target)
        values = (
            {f"{key} of {name}": found.get(key, "default") for key in sorted((ours.keys() & theirs.keys()) | either)}
            for found in (ours, theirs)
        )
        yield from _differing(Aspect.SETTINGS, *values)


def _chosen(run: Run) -> dict[Case, dict[str, str]]:
    """What a tuning set."""
    return {Case(target=each.target, workload=each.workload): each.chosen.values for each in run.tunings}


def _options(run: Run) -> dict[Case, dict[str, str]]:
    """What runtimes said of how they were set: alike in all launches of a case, and no thread count.

    Threads are an aspect of their own; what changes from launch to launch was found, not set.
    """
    found: dict[Case, dict[str, str]] = {}
    for launch in run.launches:
        if launch.placement:
            told = launch.placement.options
            before = found.setdefault(launch.case, dict(told))
            found[launch.case] = {key: value for key, value in before.items() if told.get(key) == value}
    return {case: {key: value for key, value in told.items() if _is_set(key)} for case, told in found.items()}


def _is_set(option: str) -> bool:
    """Whether an option of a placement says how a runtime was set: threads have an aspect of their own."""
    return "thread" not in option.lower() and option not in FOUND and not option.endswith(READINGS)


def _short(digest: str) -> str:
    return f"{digest[:12]}…"
