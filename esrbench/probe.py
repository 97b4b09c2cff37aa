"""Which targets can run here: every runtime is asked in a process of its own, as some crash on import.

``python -m esrbench.probe NAME ANSWER`` is that process; its answer is a file, whole or absent, so that nothing that
a runtime prints can disturb it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from esrbench import plugins, scratch
from esrbench.codec import Value, decode, encode
from esrbench.errors import RecordError, UnavailableError, UnknownNameError
from esrbench.process import Ended, die_with_parent, run
from esrbench.runner import Availability
from esrbench.store import write_once
from esrbench.target import Target

TIMEOUT_S = 60.0
"""Importing the slowest runtime with a cold disk cache takes under 20 s; a hung driver takes for ever."""

AT_ONCE = 2
"""More would fight over cores and make an import that is slow already time out."""


class BrokenRuntime(Value, frozen=True, kw_only=True):
    """A runtime that could not say what it can run."""

    name: str
    reason: str
    remedy: str | None = None


class Probed(Value, frozen=True, kw_only=True):
    """What the runtimes answered, in the alphabet's order of runtimes."""

    targets: tuple[Availability, ...]
    broken: tuple[BrokenRuntime, ...]

    def of(self, target: Target) -> Availability:
        """What is known of ``target``; refused, with the reason, where its runtime is broken.

        Raises:
            UnknownNameError: its runtime was not asked, or has no such target; says the nearest.
        """
        for entry in self.targets:
            if entry.target == target:
                return entry
        for runtime in self.broken:
            if runtime.name == target.runtime:
                return Availability(target=target, usable=False, reason=runtime.reason, remedy=runtime.remedy)
        raise UnknownNameError("target", target, [entry.target for entry in self.targets])


def availabilities(names: Sequence[str] | None = None) -> tuple[Availability, ...]:
    """Every target of these runtimes, of all by default; see :func:`ask` for runtimes that did not answer."""
    return ask(names).targets


def ask(
    names: Sequence[str] | None = None, timeout_s: float = TIMEOUT_S, environment: Mapping[str, str] | None = None
) -> Probed:
    """Ask runtimes, all by default, each in its own process.

    One that crashes or hangs harms no other.

    ``environment`` holds the variables that launches are to have beside the clean ones.
    """
    asked = plugins.runner_names() if names is None else tuple(dict.fromkeys(names))
    read, write = os.pipe()
    # Left by an error or Ctrl-C, the pipe is closed before the pool waits for its threads: they end their processes.
    with (
        scratch.folder() as folder,
        os.fdopen(read) as stop,
        ThreadPoolExecutor(AT_ONCE) as pool,
        os.fdopen(write, "w"),
    ):
        one = partial(_ask_one, folder=folder, timeout_s=timeout_s, environment=environment, stop=stop.fileno())
        answers = list(pool.map(one, asked))
    return Probed(
        targets=tuple(entry for answer in answers if not isinstance(answer, BrokenRuntime) for entry in answer),
        broken=tuple(answer for answer in answers if isinstance(answer, BrokenRuntime)),
    )


def _ask_one(
    name: str, *, folder: Path, timeout_s: float, environment: Mapping[str, str] | None, stop: int
) -> tuple[Availability, ...] | BrokenRuntime:
    answer, log = folder / f"{name}.json", folder / f"{name}.txt"
    command = [sys.executable, "-P", "-m", "esrbench.probe", name, str(answer)]
    ended = run(command, stdin=b"", log=log, threads=1, timeout_s=timeout_s, asked=environment, stop=stop)
    if not answer.exists():
        return BrokenRuntime(name=name, reason=_why_silent(ended, log, timeout_s), remedy=f"reinstall {name}")
    try:
        found = decode(answer.read_bytes(), _Answer, f"{name}'s answer").availabilities
    except RecordError as error:
        return BrokenRuntime(name=name, reason=str(error))
    foreign = [entry.target for entry in found if entry.target.runtime != name]
    if foreign:
        return BrokenRuntime(name=name, reason=f"it answered for a target that is not its own: {foreign[0]}")
    return tuple({entry.target: entry for entry in reversed(found)}.values())[::-1]  # a target once: as first answered


def _why_silent(ended: Ended, log: Path, timeout_s: float) -> str:
    if ended.timed_out:
        return f"it did not say within {timeout_s:g} s what it can run"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    last = f": {lines[-1][:300]}" if lines else ""
    end = f"signal {-ended.exit_code}" if ended.exit_code < 0 else f"exit code {ended.exit_code}"
    return f"its process ended with {end} before it said what it can run{last}"


class _Answer(Value, frozen=True, kw_only=True):
    availabilities: tuple[Availability, ...]


def main() -> None:
    """Ask one runtime and write its answer."""
    die_with_parent()
    name, answer = sys.argv[1:]
    try:
        found = tuple(plugins.runner(name).targets())
    except (UnavailableError, UnknownNameError) as error:
        sys.exit(str(error))  # to the log's last line, from where it is read
    write_once(Path(answer), encode(_Answer(availabilities=found)))
    sys.stdout.flush()
    os._exit(0)  # destructors of some runtimes crash or hang; the answer is on disk


if __name__ == "__main__":
    main()
