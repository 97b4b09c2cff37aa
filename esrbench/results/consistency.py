"""Find where a recorded run contradicts itself."""

import collections
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from esrbench import fidelity, picture_fidelity, repeats, tiling
from esrbench.errors import TilingError
from esrbench.record import Case, LaunchRecord, RunRecord, Samples, Status, TuningRecord, Workload, title
from esrbench.results.likenesses import impossible
from esrbench.results.numbers import absurd
from esrbench.suite import LARGEST_TILE_PX, MOST_ROUNDS, MOST_THREADS, MOST_TILES, Suite
from esrbench.target import REFERENCE, Precision

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a workload: files are named after it, so that it holds nothing that a path could be made of."""

_LARGEST_SIDE_PX = 1 << 20
_MOST_PX = 1 << 30
"""Of a picture that is drawn: a thousand million."""


_SHOWN = 8  # missing launches: a sequence may be any number

_SHORTEST_NS = 1000
"""Of a timed tile or pass, from host to host: a call into a runtime alone takes longer than a microsecond."""


def contradictions(record: RunRecord, launches: Sequence[LaunchRecord]) -> Iterator[str]:
    """Name every contradiction in a run.

    ``launches`` are in order of sequence.
    """
    yield from _of_plan(record)
    yield from _of_order(launches)
    rounds = record.settings.max_rounds if record.settings else MOST_ROUNDS
    workloads = {workload.id: workload for workload in record.workloads}
    cases = frozenset(record.cases)
    for launch in launches:
        for found in _of_launch(launch, cases, workloads, rounds, record.model.spec.scale):
            yield f"launch {launch.sequence} ({title(launch.case, software=False)}): {found}"


def _of_plan(record: RunRecord) -> Iterator[str]:
    yield from absurd(record)
    yield from _untimed("created_at", record.created_at)
    if record.reference != REFERENCE:
        yield f"its reference is {record.reference}, the one that draws is {REFERENCE}"
    if sum(case.control for case in record.cases) > 1:
        yield "it has more than one control"
    known = collections.Counter(workload.id for workload in record.workloads)
    yield from (f"workload {id_!r} is there {count} times" for id_, count in known.items() if count > 1)
    yield from (f"case {_named(case)} is there twice" for case, n in collections.Counter(record.cases).items() if n > 1)
    if not known:
        yield "it has no workload"
    most_batches = _most_batches(record.settings)
    for workload in record.workloads:
        if workload.tiles * (workload.copies - 1) >= workload.batch * most_batches:
            yield f"workload {workload.id!r}: a pass draws {workload.copies} copies, more than fill its batches"
        found_of = _of_workload(workload, record.model.spec.unshuffle, record.model.spec.scale)
        yield from (f"workload {workload.id!r}: {found}" for found in found_of)
    for case in record.cases:
        if case.workload not in known:
            yield f"case {_named(case)} is on a workload that the run does not have"


def _most_batches(settings: Suite | None) -> int:
    """In a pass of any workload, where that is recorded."""
    if settings is None:
        return MOST_TILES
    return max(plan.min_batches for plan in (*settings.workloads, settings.sweep) if plan is not None)


def _of_workload(workload: Workload, multiple: int, scale: int) -> Iterator[str]:
    if _ID.fullmatch(workload.id) is None:
        yield "an id has letters, digits, - and _ alone, as files are named after it"
    for what, found, most in (
        ("width_px", workload.width_px, _LARGEST_SIDE_PX),
        ("height_px", workload.height_px, _LARGEST_SIDE_PX),
        ("tile_px", workload.tile_px, LARGEST_TILE_PX),
        ("batch", workload.batch, MOST_TILES),
        ("copies", workload.copies, MOST_TILES**2),
        ("threads", workload.threads, MOST_THREADS),
    ):
        if not 1 <= found <= most:
            yield f"{what} is {found}; it must be between 1 and {most}"
            return
    if workload.width_px * workload.height_px * scale**2 > _MOST_PX:
        yield f"the output of {workload.width_px}×{workload.height_px} px would have more than {_MOST_PX} pixels"
    try:
        tiles = tiling.window_count(
            workload.height_px, workload.width_px, tile=workload.tile_px, halo=workload.halo_px, multiple=multiple
        )
    except TilingError as error:
        yield str(error)
        return
    if tiles != workload.tiles:
        yield f"{workload.tiles} tiles are recorded, its picture is cut into {tiles}"


def of_tuning(tuned: TuningRecord) -> Iterator[str]:
    """Name every contradiction in a choice of settings."""
    yield from absurd(tuned)
    if tuned.chosen not in [trial.settings for trial in tuned.trials]:
        yield f"it chose {tuned.chosen.text}, which it did not try"
    if tuned.speedup == 0 or any(0 in trial.image_s for trial in tuned.trials):
        yield "a pass took no time"


def _of_order(launches: Sequence[LaunchRecord]) -> Iterator[str]:
    """Check that sequences and rounds of a case are unique."""
    found = collections.Counter(launch.sequence for launch in launches)
    missing = (number for number in itertools.count() if number not in found)  # the first ones tell
    absent = itertools.takewhile(lambda number: number < max(found, default=0), itertools.islice(missing, _SHOWN))
    yield from (f"launch {sequence} is missing" for sequence in absent)
    yield from (f"launch {sequence} is there {count} times" for sequence, count in found.items() if count > 1)
    rounds = collections.Counter((launch.case, launch.round) for launch in launches)
    for (case, round_), count in rounds.items():
        if count > 1:
            yield f"{_named(case)} was launched {count} times in round {round_ + 1}"


def _of_launch(
    launch: LaunchRecord, cases: frozenset[Case], workloads: Mapping[str, Workload], rounds: int, scale: int
) -> Iterator[str]:
    beyond = list(absurd(launch))
    yield from beyond
    if beyond:
        return  # what follows calculates with its numbers
    yield from _untimed("started_at", launch.started_at)
    if launch.case not in cases:
        yield "its case is none of the run's"
    if launch.round >= rounds:
        yield f"its round is {launch.round + 1} of {rounds}"
    if launch.status is Status.OK:
        yield from _of_success(launch)
    if launch.samples is not None:
        yield from _of_samples(launch.samples, launch.wall_ns)
    workload = workloads.get(launch.case.workload)
    if launch.fidelity is not None and workload is not None:
        yield from impossible(launch.fidelity, workload, scale)
    at_work = launch.threads_at_work
    if at_work is not None and launch.wall_ns is not None and at_work.wall_s * 1e9 > launch.wall_ns:
        yield f"it worked for {at_work.wall_s:g} s, but took {launch.wall_ns / 1e9:g} s in all"


def _of_success(launch: LaunchRecord) -> Iterator[str]:
    """Check that an ok launch has times, placement and picture."""
    if launch.wall_ns is None or launch.samples is None or not launch.samples.image_ns:
        yield "it ended ok without times"
    if launch.placement is None:
        yield "it ended ok without saying what it ran on"
    elif launch.placement.precision is not launch.case.target.precision:
        yield f"it ended ok, but computed in {launch.placement.precision.value}"
    remembered = repeats.reason(launch.samples.repeats or ()) if launch.samples else None
    if remembered is not None:
        yield f"it ended ok, but {remembered}"
    checked = launch.reference_check
    if checked is not None and fidelity.psnr_db(checked.mse) < fidelity.gate_db(Precision.FP32):
        yield f"it ended ok, but its reference computed in less than fp32: {fidelity.psnr_db(checked.mse):.1f} dB"
    if launch.exit_code is None or (launch.exit_code != 0 and not _failed_late(launch.samples)):
        yield f"it ended ok with exit code {launch.exit_code}"
    if launch.fidelity is None:
        yield "it ended ok without a picture that was compared"
        return
    precision = launch.case.target.precision
    gate = fidelity.gate_db(precision) if launch.fidelity.bits is None else picture_fidelity.gate_db(precision)
    wrong = fidelity.verdict(launch.fidelity, precision, gate) if launch.fidelity.mse >= 0 else None
    if wrong is not None:
        yield f"it ended ok, but {wrong}"


def _failed_late(samples: Samples | None) -> bool:
    """Tell whether the launch failed after all was measured.

    Numbers and status stay then; the exit code tells.
    """
    met = samples.new_shape if samples else None
    return met is not None and met.reason is not None


def _of_samples(samples: Samples, wall_ns: int | None) -> Iterator[str]:
    for name, times_ns in (("tile_ns", samples.tile_ns), ("image_ns", samples.image_ns)):
        if times_ns and 0 < min(times_ns) < _SHORTEST_NS:
            yield f"{name} has a time of {min(times_ns)} ns; no call is that short"
    # A pass through one tile is a tile's time too: the two lists are of the same seconds.
    timed_ns = max(sum(samples.tile_ns), sum(samples.image_ns), samples.cold_ns or 0)
    began_ns = (samples.load_ns or 0) + (samples.first_tile_ns or 0)
    if samples.cold_ns is not None and began_ns > samples.cold_ns:
        yield f"its first tile was back after {samples.cold_ns / 1e9:g} s, but took {began_ns / 1e9:g} s"
    if wall_ns is not None and timed_ns > wall_ns:
        yield f"it timed {timed_ns / 1e9:g} s, but took {wall_ns / 1e9:g} s in all"


def _untimed(name: str, text: str) -> Iterator[str]:
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return
    except ValueError:
        pass
    yield f"{name} is {text[:40]!r}, not a date and time with a time zone"


def _named(case: Case) -> str:
    return title(case, software=False)
