"""Pairs of made-up runs for comparisons: rounds of given times, taking turns or one run after the other."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from recorded import launch, samples, write_run

from esrbench.record import LaunchRecord
from esrbench.store import Run

START = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)

QUIET = [1.000, 1.004, 0.996, 1.002, 0.998, 1.001, 0.999, 1.003]
"""Eight rounds, ± 0.4 %."""


def at(minute: float) -> str:
    """A time of day as records hold it."""
    return (START + timedelta(minutes=minute)).isoformat(timespec="seconds")


def rounds_of(target: str, seconds: Sequence[float], *, from_minute: float = 0, **fields: object) -> list[LaunchRecord]:
    """A launch a round, a minute apart."""
    made = [
        launch(target, round_=round_, **{"samples": samples(image_s), **fields})
        for round_, image_s in enumerate(seconds)
    ]
    return [msgspec.structs.replace(each, started_at=at(from_minute + each.round)) for each in made]


def run_of(
    folder: Path, seconds: Mapping[str, Sequence[float]], *, from_minute: float = 0, extra: Sequence[LaunchRecord] = ()
) -> Run:
    """A run of these targets, round after round."""
    made = [each for target, times in seconds.items() for each in rounds_of(target, times, from_minute=from_minute)]
    return write_run(folder, [*made, *extra])


def changed(run: Run, **fields: Any) -> Run:
    """The run with other fields in its record; ``environment`` and ``model`` take the fields to change in them."""
    for name in ("environment", "model"):
        if isinstance(fields.get(name), dict):
            fields[name] = msgspec.structs.replace(getattr(run.record, name), **fields[name])
    return msgspec.structs.replace(run, record=msgspec.structs.replace(run.record, **fields))


def scaled(seconds: Sequence[float], factor: float) -> list[float]:
    """Each time, so many times as long, and a third of a per cent of noise of its own."""
    return [value * factor * (1 + 0.003 * (-1) ** place) for place, value in enumerate(seconds)]
