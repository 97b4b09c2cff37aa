"""Verdicts from records: the answer in a sentence, honest about what the run cannot say."""

from collections import Counter

from esrbench.case_summary import CaseSummary, ranking, summarise
from esrbench.fidelity import SAME_PICTURE_DB
from esrbench.ratio import Ratio
from esrbench.record import Case, Environment
from esrbench.run_cases import noise_floor, ratio_of
from esrbench.store import Run
from esrbench.target import Precision, Target
from esrbench.wording import counted, decibel, gigabytes, interval, significant, times

UPSTREAM = "torch-nchw"
"""The runtime that does as the official repository's script does."""

DOUBTFUL = 0.5
"""From here on a case's difference from itself is said beside the answer: half as fast again, for no reason at all."""

__all__ = ["CaseSummary", "answer", "ranking", "summarise"]


def answer(run: Run) -> str:
    """The run in a sentence or two: what is fastest here, by how much, how true its picture is, what it costs.

    Targets stand in backticks, as in Markdown.
    """
    every = ranking(summarise(run))
    rows = [row for row in every if row.ranked]
    machine = f"On this machine ({machine_name(run.record.environment)})"
    if not rows:
        return f"{machine} {_why_nothing(run, every)}.{_cut_short(run)}"
    # A software device is there for correctness; it is in the table, never in the headline while anything else ran.
    rows = [row for row in rows if not row.is_software] or rows
    rows = [row for row in rows if not row.sweep] or rows  # of other pictures, and launched once
    best, *others = sorted(rows, key=_is_trade)  # fastest first, among equals: the sort is stable
    unknown = _unknown([row for row in every if row.speed_unknown and not row.sweep])
    return f"{machine}{_where(run, best)} {_headline(run, best, others)}.{_doubt(run)}{unknown}{_cut_short(run)}"


def _doubt(run: Run) -> str:
    """Warn where the same case, measured twice, had two speeds."""
    floor, control = noise_floor(run), run.record.control
    if floor is None or control is None or floor.size < DOUBTFUL:
        return ""
    found = times(1 + floor.size)
    return f" Do not rely on it: `{control.target}`, measured twice, was {found} as fast the one time as the other."


def machine_name(environment: Environment) -> str:
    """``AMD EPYC, 2 cores``, with its graphics devices."""
    cores = f"{environment.usable_cores} core{'s' if environment.usable_cores != 1 else ''}"
    return ", ".join([environment.cpu, cores, *environment.gpus]).replace("`", "'")  # which mark the targets here


def instruction_sets(environment: Environment) -> str:
    """``avx2, fma, f16c``: what tells processors of one name apart."""
    return ", ".join(environment.cpu_features) or "no known instruction set"


def _headline(run: Run, best: CaseSummary, others: list[CaseSummary]) -> str:
    beside = [row for row in others if row.workload == best.workload]
    same = [row for row in beside if not _is_trade(row)]
    if best.is_reference:
        return _nothing_faster(best, same) + _faster_trade(best, beside)
    sentence = f"`{best.label}` {_speed(run, best)}, {_picture(best)}{_memory(best)}"
    level = _level(run, best, same) + _full_precision(run, best, [row for row in others if not _is_trade(row)])
    return sentence + _upstream(run, best, same) + level + _faster_trade(best, beside)


def _speed(run: Run, best: CaseSummary) -> str:
    reference = run.record.reference
    if best.speedup is None:
        return f"is the fastest measured, at {_throughput(best)} (no speed-up: {_no_speedup(best, reference)})"
    if best.speedup_low is None or best.speedup_high is None:
        return f"is {times(best.speedup)} as fast as `{reference}` (one launch, no interval)"
    found = f"({interval(best.speedup_low, best.speedup_high)})"
    if best.speedup_low <= 1:
        return f"is the fastest measured, but not clearly faster than `{reference}`: {times(best.speedup)} {found}"
    return f"is {times(best.speedup)} as fast as `{reference}` {found}"


def _no_speedup(best: CaseSummary, reference: Target) -> str:
    found = interval(best.speedup_low, best.speedup_high)
    return f"`{reference}` was not measured" if found is None else f"that over `{reference}` is not known, {found}"


def _nothing_faster(best: CaseSummary, others: list[CaseSummary]) -> str:
    facts = f"{_throughput(best)}{_memory(best)}"
    if not others:
        return f"only `{best.label}` could be measured: {facts}"
    return f"nothing measured is faster than `{best.label}` ({facts}); next is {_named(others[0])}"


def _throughput(row: CaseSummary) -> str:
    return f"{significant(row.throughput_mpix_s)} output megapixels a second"


def _picture(row: CaseSummary) -> str:
    if row.psnr_db is None:
        return "draws a picture that was not compared"
    if _is_trade(row):
        found = f"{decibel(row.psnr_db)} dB; the same picture has {SAME_PICTURE_DB:g} or more"
        return f"but trades its picture for that ({found})"
    if row.start_s is not None:  # a command's: compared with 8 bits, without its borders
        return f"draws the same picture in 8 bits, borders left out ({decibel(row.psnr_db)} dB)"
    return "draws the identical picture" if row.mse == 0 else f"draws the same picture to {decibel(row.psnr_db)} dB"


def _is_trade(row: CaseSummary) -> bool:
    """Whether it pays for its speed with its picture."""
    return row.psnr_db is not None and row.psnr_db < SAME_PICTURE_DB


def _memory(row: CaseSummary) -> str:
    parts = [] if row.peak_ram_mb is None else [gigabytes(row.peak_ram_mb)]
    if row.device_memory_mb is not None:
        parts.append(f"{gigabytes(row.device_memory_mb)} on the device")
    return f" and peaks at {' + '.join(parts)}" if parts else ""


def _upstream(run: Run, best: CaseSummary, beside: list[CaseSummary]) -> str:
    """How many times Real-ESRGAN's own script, on the best one's device where that was measured, else on the CPU."""
    rows = {row.target.device: row for row in beside if _is_upstream(row.target)}
    row = rows.get(best.target.device) or rows.get("cpu")
    ratio = None if row is None or _is_upstream(best.target) else _paired(run, row, best)
    if row is None or ratio is None or not ratio.is_known:
        return ""
    found = interval(ratio.low, ratio.high)
    return f"; that is {times(ratio.value)} upstream's way, `{row.label}`{f' ({found})' if found else ''}"


def _is_upstream(target: Target) -> bool:
    """Whether it is what the script does unless it is told otherwise: fp32 on a CPU, fp16 on a GPU."""
    default = Precision.FP32 if target.device_kind == "cpu" else Precision.FP16
    return target.runtime == UPSTREAM and target.precision is default


def _level(run: Run, best: CaseSummary, beside: list[CaseSummary]) -> str:
    """Name those that the run cannot tell from the best."""
    level = [row for row in beside if _is_level(run, row, best)]
    return f"; it is not clearly ahead of {_listed(level)}" if level else ""


def _is_level(run: Run, row: CaseSummary, best: CaseSummary) -> bool:
    """Tell whether ``row`` is known to rival ``best``."""
    ratio = None if row.is_reference else _paired(run, row, best)
    return ratio is not None and ratio.is_known and ratio.low is not None and ratio.low <= 1


def _listed(rows: list[CaseSummary]) -> str:
    """``a, b and c``."""
    *others, last = (f"`{row.label}`" for row in rows)
    return f"{', '.join(others)} and {last}" if others else last


def _paired(run: Run, base: CaseSummary, head: CaseSummary) -> Ratio | None:
    base_case, head_case = (Case(target=row.target, workload=row.workload) for row in (base, head))
    return ratio_of(run, base_case, head_case)


def _faster_trade(best: CaseSummary, beside: list[CaseSummary]) -> str:
    """The fastest of another picture, where it is faster than the best of the same one."""
    trade = next((row for row in beside if _is_trade(row) and not _is_trade(best)), None)
    if trade is None or (trade.throughput_mpix_s or 0) <= (best.throughput_mpix_s or 0):
        return ""
    worth = f"{decibel(trade.psnr_db)} dB; the same picture has {SAME_PICTURE_DB:g} or more"
    return f"; faster still, but it trades its picture for that ({worth}), is {_named(trade)}"


def _full_precision(run: Run, best: CaseSummary, beside: list[CaseSummary]) -> str:
    rows = [row for row in beside if row.target.precision is Precision.FP32]
    if best.target.precision is Precision.FP32 or not rows:
        return ""
    full, *others = rows
    where = "" if full.workload == best.workload else _where(run, full).rstrip(",")
    if full.is_reference:
        return f"; at full precision nothing measured is faster than `{full.label}`{where}"
    level = [row for row in others if row.workload == full.workload and _is_level(run, row, full)]
    doubt = f", not clearly ahead of {_listed(level)}" if level else ""
    return f"; the fastest at full precision is {_named(full)}{where}{doubt}"


def _named(row: CaseSummary) -> str:
    if row.speedup is None:
        return f"`{row.label}` at {_throughput(row)}"
    found = interval(row.speedup_low, row.speedup_high)
    return f"`{row.label}` at {times(row.speedup)}{f' ({found})' if found else ''}"


def _where(run: Run, best: CaseSummary) -> str:
    """Which workload the answer is about, where the run has several."""
    if len(run.record.workloads) == 1:
        return ""
    batch = f" in batches of {best.batch}" if best.batch > 1 else ""
    return f", with tiles of {best.tile_px} px{batch},"


def _why_nothing(run: Run, rows: list[CaseSummary]) -> str:
    if not run.launches:
        return "nothing could be measured: no launch was finished"
    counts = ", ".join(f"{word} {count}×" for word, count in Counter(row.status_word for row in rows).most_common())
    if any(row.speed_unknown for row in rows):
        return f"no speed is known, as the rounds of each target disagree: {counts}"
    return f"nothing could be measured: {counts}"


def _unknown(rows: list[CaseSummary]) -> str:
    """Warn of targets whose speed is not known."""
    if not rows:
        return ""
    firsts = list({row.label: row for row in rows}.values())
    return f" Not known is the speed of {_listed(firsts)}, whose rounds disagree."


def _cut_short(run: Run) -> str:
    """Say what a run without an end lacks."""
    if run.end is not None:
        return ""
    missing = len(run.record.cases) - len({launch.case for launch in run.launches})
    if missing:
        of = counted(len(run.record.cases), "case")
        return f" The run was cut short: {missing} of its {of} {'was' if missing == 1 else 'were'} not reached."
    last = max((launch.round for launch in run.launches), default=0) + 1
    return f" The run was cut short or paused in round {last}: every case was reached, further rounds are missing."
