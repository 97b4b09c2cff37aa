"""What is shown while a run goes on."""

import io

from rich.console import Console

from esrbench.cli.progress import watching
from esrbench.record import Case, LaunchRecord, Samples, Status
from esrbench.target import Target

CASE = Case(target=Target("fake@cpu:fp32"), workload="t48b1")


def record(**changes):
    samples = Samples(
        load_ns=1, first_tile_ns=1, cold_ns=1, warmups=(), tile_ns=(2_000_000, 4_000_000), image_ns=(6_000_000,)
    )
    fields = {
        "case": CASE,
        "sequence": 0,
        "round": 0,
        "status": Status.OK,
        "started_at": "2026-01-01T00:00:00+00:00",
        "wall_ns": 1_500_000_000,
        "samples": samples,
    }
    return LaunchRecord(**(fields | changes))


def shown(is_terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=120)
    with watching(console) as progress:
        progress.starting("fake@cpu:fp32 t48b1", 2, 75.0)
        progress.finished(record())
        progress.starting("fake@cpu:fp32 t48b1", 1, None)
        progress.finished(record(status=Status.OOM, reason="no [room] left", samples=None))
        progress.note("the end")
    return file.getvalue()


def test_elsewhere_than_on_a_terminal_each_event_is_a_plain_line():
    assert shown(is_terminal=False).splitlines() == [
        "fake@cpu:fp32 t48b1 … (2 to go, about 1 min 15 s left)",
        "fake@cpu:fp32 t48b1: ok, 3 ms a tile, 1.5 s from start to end",
        "fake@cpu:fp32 t48b1 … (1 to go)",
        "fake@cpu:fp32 t48b1: oom: no [room] left",
        "note: the end",
    ]


def test_on_a_terminal_a_bar_counts_launches_and_says_how_long():
    text = shown(is_terminal=True)
    assert "0/2" in text
    assert "about 1 min 15 s left" in text
    assert "1/2" in text
    assert "fake@cpu:fp32 t48b1: ok, 3 ms a tile" in text


def test_a_software_device_is_named_as_such_even_where_nothing_ran():
    file = io.StringIO()
    with watching(Console(file=file, force_terminal=False, width=120)) as progress:
        progress.finished(record(software=True))
        progress.finished(record(software=True, status=Status.TIMEOUT, reason="too slow", samples=None))
    first, second = file.getvalue().splitlines()
    assert first.startswith("fake@cpu:fp32 (software) t48b1: ok")
    assert second == "fake@cpu:fp32 (software) t48b1: timeout: too slow"
