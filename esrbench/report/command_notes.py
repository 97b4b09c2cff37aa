"""What to know of other programs that were measured: what is in their speed, and what is only their word."""

from collections.abc import Sequence

from esrbench.case_summary import CaseSummary
from esrbench.record import Case, LaunchRecord
from esrbench.run_cases import launches_of, workload_of
from esrbench.stats import median
from esrbench.store import Run
from esrbench.wording import seconds, significant


def command_notes(run: Run, rows: Sequence[CaseSummary]) -> list[str]:
    """A note for each command that drew the right picture."""
    return [note for row in rows if (note := _note(run, row))]


def _note(run: Run, row: CaseSummary) -> str | None:
    case = Case(target=row.target, workload=row.workload)
    launches = [launch for launch in launches_of(run, case) if launch.samples and launch.samples.start_ns is not None]
    if not launches or not row.ranked:  # a wrong picture has no speed
        return None
    return (
        f"{row.label} on {row.workload} is a command: each picture starts its process anew. "
        f"{_start(run, case, launches)} Its device and precision are its own claim. {_comparison(launches)}"
    )


def _start(run: Run, case: Case, launches: Sequence[LaunchRecord]) -> str:
    """How much of a picture's time is start, and the speed without it."""
    samples = [launch.samples for launch in launches if launch.samples]
    start_s = _seconds([each.start_ns for each in samples])
    picture_s = _seconds([ns for each in samples for ns in each.image_ns])
    if start_s is None or picture_s is None:
        return ""
    side_px = samples[0].start_side_px or 0
    said = f"Of {seconds(picture_s)} s a picture, {seconds(start_s)} s are start (a picture of {side_px}×{side_px} px)"
    if picture_s <= start_s:
        return f"{said}: the rest is too short to tell."
    workload = workload_of(run, case)
    pixels = (workload.width_px * workload.height_px - side_px**2) * run.record.model.spec.scale**2
    return f"{said}; without it, {significant(pixels / 1e6 / (picture_s - start_s))} Mpix/s."


def _comparison(launches: Sequence[LaunchRecord]) -> str:
    found = [launch.fidelity for launch in launches if launch.fidelity]
    shares = [each.close_share for each in found if each.close_share is not None]
    if not shares:
        return ""
    border_px = max(each.border_px for each in found)
    return (
        f"Its picture has 8 bits and was compared with the reference's, rounded likewise, {border_px} px from the "
        f"borders: {min(shares):.1%} of the values are within 1/255."
    )


def _seconds(values_ns: Sequence[int | None]) -> float | None:
    middle_ns = median([ns for ns in values_ns if ns is not None])
    return None if middle_ns is None else middle_ns / 1e9
