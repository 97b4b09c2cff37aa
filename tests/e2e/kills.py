"""A seeded campaign of kills over small runs: `python -m tests.e2e.kills COUNT [FIRST]` prints what each left."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from esrbench import store
from esrbench.record import Status
from esrbench.target import Target
from esrbench.testing import FAKE_ENTRY_POINTS, SCRIPTS_VARIABLE, FakeScript, encode_scripts, write_distribution

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL, signal.SIGSTOP)  # the last, then SIGKILL
VICTIMS = ("parent", "worker", "both")
TARGETS = tuple(Target(f"fake@cpu{index}:fp32") for index in range(2))
LONGEST_S = 120


class Kill(NamedTuple):
    """Who is sent what, and when."""

    sent: signal.Signals
    victim: str
    after_s: float

    @classmethod
    def of(cls, seed: int, whole_s: float) -> "Kill":
        """The kill number ``seed``, at any moment of a run that takes so long."""
        chance = random.Random(seed)
        return cls(
            SIGNALS[seed % len(SIGNALS)], VICTIMS[seed // len(SIGNALS) % len(VICTIMS)], chance.uniform(0.3, whole_s)
        )


class Place:
    """A folder of a user's own, with a runtime named `fake`."""

    def __init__(self, folder: Path, suite: Path) -> None:
        self.folder = folder
        self.run = folder / "results" / "run"
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.suite = suite
        write_distribution(folder / "site", "esrbench-fakes", FAKE_ENTRY_POINTS)
        self.environment = os.environ | {
            "ESRBENCH_CACHE": str(suite.parent / "cache"),
            "ESRBENCH_LOCK": str(self.temporary / "lock"),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH")))),
            SCRIPTS_VARIABLE: encode_scripts([FakeScript(target=target) for target in TARGETS]),
        }

    def start(self, *arguments: object) -> "subprocess.Popen[bytes]":
        """The command line in a session of its own, its words in a file."""
        with (self.folder / "said").open("ab") as said:
            command = [sys.executable, "-m", "esrbench", *map(str, arguments)]
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=said, stderr=said, start_new_session=True
            )

    def processes(self) -> list[psutil.Process]:
        """Those that work for this place."""
        mine = f"TMPDIR={self.temporary}".encode()
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                words = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if mine in words and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def carry_out(kill: Kill, place: Place) -> list[str]:
    """Start a run, kill it, look at what is left, and go on with it: what is wrong with that."""
    bench = place.start("bench", "--suite", place.suite, "--out", place.run)
    try:
        bench.wait(kill.after_s)
    except subprocess.TimeoutExpired:
        _send(kill, bench)
    faults = _ended(bench, place)
    faults += _left(place)
    if (place.run / store.RUN_FILE).exists():
        faults += _gone_on(place)
    elif place.start("bench", "--suite", place.suite, "--out", place.run).wait(LONGEST_S) != 0:
        faults.append("a new run failed")
    faults += [f"left: {path.name}" for path in place.temporary.iterdir() if path.name != "lock"]
    return faults + (["a traceback"] if b"Traceback" in (place.folder / "said").read_bytes() else [])


def _send(kill: Kill, bench: "subprocess.Popen[bytes]") -> None:
    workers = []
    with suppress(psutil.Error):
        workers = psutil.Process(bench.pid).children(recursive=True)
    victims = {"parent": [bench.pid], "worker": [], "both": [bench.pid]}[kill.victim]
    if kill.victim != "parent":
        victims += [worker.pid for worker in workers]
    for sent in (kill.sent, signal.SIGKILL) if kill.sent is signal.SIGSTOP else (kill.sent,):
        for victim in victims:
            with suppress(OSError):
                os.kill(victim, sent)


def _ended(bench: "subprocess.Popen[bytes]", place: Place) -> list[str]:
    try:
        bench.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        bench.kill()
        return ["it never ended"]
    deadline = time.monotonic() + 20
    while alive := place.processes():
        if time.monotonic() > deadline:
            for process in alive:
                process.kill()
            return [f"alive: {' '.join(process.cmdline())[-80:]}" for process in alive]
        psutil.wait_procs(alive, timeout=1)
    return []


def _left(place: Place) -> list[str]:
    """Every finished launch is readable."""
    if not (place.run / store.RUN_FILE).exists():
        return []
    launches = store.read_run(place.run).launches
    files = list((place.run / store.LAUNCHES).glob("[0-9]*.json"))
    return [] if len(launches) == len(files) else [f"{len(launches)} of {len(files)} launches can be read"]


def _gone_on(place: Place) -> list[str]:
    code = place.start("bench", "--resume", place.run).wait(LONGEST_S)
    run = store.read_run(place.run)
    faults = (
        [] if code == 0 or {launch.status for launch in run.launches} != {Status.OK} else [f"resume ended with {code}"]
    )
    return faults + ([] if run.end is not None else ["resumed, it has no end"])


def campaign(count: int, first: int, root: Path) -> Iterator[tuple[int, Kill, list[str]]]:
    """Carry out so many kills, at moments of a run as long as an undisturbed one."""
    suite = _suite(root)
    whole = Place(root / "whole", suite)
    for _ in range(2):  # the first exports
        begin = time.monotonic()
        assert whole.start("bench", "--suite", suite, "--out", f"results/{begin}").wait(LONGEST_S) == 0
    whole_s = time.monotonic() - begin
    for seed in range(first, first + count):
        kill = Kill.of(seed, whole_s)
        yield seed, kill, carry_out(kill, Place(root / str(seed), suite))


def _suite(root: Path) -> Path:
    import torch

    from esrbench.architecture import SRVGGNetSpec

    from .test_statuses import write_suite

    shapes = SRVGGNetSpec(convs=1, features=4).parameter_shapes()
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, root / "zero.pth")
    return write_suite(root / "run.toml", root / "zero.pth", TARGETS, max_rounds=1, timeout_s=LONGEST_S)


def main() -> None:
    """Say what each kill left."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory(prefix="kills-") as root:
        for seed, kill, faults in campaign(count, first, Path(root)):
            sys.stdout.write(f"{seed} {kill.sent.name} {kill.victim} {kill.after_s:.1f} s: {faults or 'well'}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
