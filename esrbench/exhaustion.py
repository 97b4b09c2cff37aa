"""Whether a process that died without a word ran out of memory: told from evidence, never guessed."""

import textwrap
from pathlib import Path

from esrbench.control_group import MemoryGroup
from esrbench.job import SMALLER, Outcome
from esrbench.memory_room import host_room, not_enough
from esrbench.process import Ended, signal_name
from esrbench.record import Room, Status, Workload
from esrbench.target import Target
from esrbench.translation import names_memory

LAST_LINES = 20
"""Where the cause of a death is looked for in a log."""

MAX_WORDS = 200

KILLED = (-9, 128 + 9)
"""How a process ends that was killed (SIGKILL is 9), and a shell whose last command was."""


class MemoryWatch:
    """Made just before a launch starts."""

    def __init__(self, target: Target, workload: Workload, group: MemoryGroup | None = None) -> None:
        self._target = target
        self._workload = workload
        self._group = group or MemoryGroup()
        self._room = host_room(self._group)
        self._kills = self._group.kills()

    def judged(self, died: Outcome, ended: Ended, log: Path) -> Outcome:
        """``died``, or ``oom`` where the kernel counted a kill for memory or the runtime's last words name it."""
        if starved := self.killed(ended.exit_code):
            return starved
        said = next((line for line in reversed(last_lines(log)) if names_memory(line)), None)
        if said is None or ended.exit_code == 0:
            return died
        end = f"was killed by {signal_name(ended.exit_code)}" if ended.exit_code < 0 else f"ended ({ended.exit_code})"
        proof = f"the process {end} after it said: {textwrap.shorten(said, MAX_WORDS, placeholder=' …')}"
        # Whose memory it was is known on a CPU alone.
        return self._out_of_memory(proof, self._room if self._target.device_kind == "cpu" else None)

    def killed(self, exit_code: int) -> Outcome | None:
        """``oom`` where a process that ended so was killed, and the kernel has since counted a kill for memory."""
        kills = self._group.kills()
        if exit_code not in KILLED or None in (self._kills, kills) or kills == self._kills:
            return None
        return self._out_of_memory("the kernel's out-of-memory killer ended the process", self._room)

    def _out_of_memory(self, proof: str, room: Room | None) -> Outcome:
        reason = not_enough(self._workload, room, proof)
        return Outcome(status=Status.OOM, reason=reason, remedy=SMALLER, room=room)


def last_lines(log: Path) -> list[str]:
    """The last few lines of a process's log that are not blank; none where it cannot be read."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()][-LAST_LINES:]
