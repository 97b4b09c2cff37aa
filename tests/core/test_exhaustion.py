"""Whether a process that died ran out of memory: only where something proves it."""

import signal
import sys

import pytest
from recorded import workload

from esrbench import memory_room
from esrbench.control_group import MemoryGroup
from esrbench.exhaustion import MemoryWatch
from esrbench.job import Outcome
from esrbench.memory_room import host_room, not_enough
from esrbench.process import Ended
from esrbench.record import MemoryBound, Room, Status
from esrbench.target import Target

DIED = Outcome(status=Status.CRASHED, reason="the process died")


class Machine:
    """A made-up ``/proc`` and ``/sys/fs/cgroup``."""

    def __init__(self, folder, groups):
        self.root, self.proc = folder / "cgroup", folder / "proc"
        self.write(self.proc / "self" / "cgroup", groups)

    def write(self, file, text):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def group(self):
        return MemoryGroup(self.root, self.proc)


@pytest.fixture
def second(tmp_path):
    made = Machine(tmp_path, "0::/slice/job\n")
    made.write(made.root / "slice" / "job" / "memory.max", "max\n")
    made.write(made.root / "slice" / "memory.max", "3000000000\n")
    made.write(made.root / "slice" / "job" / "memory.events", "low 0\noom 1\noom_kill 4\n")
    return made


def watching(machine, on=None, target="ncnn@cpu:fp32"):
    return MemoryWatch(Target(target), on or workload(), machine.group)


def ended(exit_code):
    return Ended(exit_code=exit_code, timed_out=False, wall_ns=1)


def log(tmp_path, text):
    file = tmp_path / "log.txt"
    file.write_text(text)
    return file


def test_the_narrowest_limit_of_the_groups_around_counts(second):
    assert second.group.limit_bytes() == 3_000_000_000


def test_version_one_is_read_and_no_limit_is_none(tmp_path):
    made = Machine(tmp_path, "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")  # the host's path: not seen here
    made.write(made.root / "memory" / "memory.limit_in_bytes", "9223372036854771712\n")
    made.write(made.root / "memory" / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert made.group.limit_bytes() is None
    assert made.group.kills() == 2


def test_a_system_that_tells_nothing_has_no_limit_and_no_count(tmp_path):
    group = MemoryGroup(tmp_path / "none", tmp_path / "none")
    assert (group.limit_bytes(), group.kills()) == (None, None)


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_a_kill_is_for_memory_where_the_kernel_counted_one(second, tmp_path, exit_code):
    watch = watching(second, workload("t192b2", tile=192, batch=2))
    second.write(second.root / "slice" / "job" / "memory.events", "low 0\noom 2\noom_kill 5\n")
    found = watch.judged(DIED, ended(exit_code), log(tmp_path, ""))
    assert found.status is Status.OOM
    assert "out of memory at tile 192, batch 2, with" in found.reason
    assert "the kernel's out-of-memory killer ended the process" in found.reason


def test_a_kill_that_nobody_counted_stays_a_crash(second, tmp_path):
    watch = watching(second)
    assert watch.judged(DIED, ended(-signal.SIGKILL), log(tmp_path, "all well")) is DIED


def test_another_death_while_the_kernel_counted_a_kill_stays_a_crash(second, tmp_path):
    watch = watching(second)
    second.write(second.root / "slice" / "job" / "memory.events", "low 0\noom 2\noom_kill 5\n")
    assert watch.judged(DIED, ended(-signal.SIGSEGV), log(tmp_path, "all well")) is DIED


def test_last_words_of_memory_before_an_abort_are_proof(second, tmp_path):
    watch = watching(second)
    said = log(tmp_path, "start\nterminate called after throwing an instance of 'std::bad_alloc'\n  what(): x\n")
    found = watch.judged(DIED, ended(-signal.SIGABRT), said)
    assert found.status is Status.OOM
    assert "was killed by SIGABRT after it said: terminate called" in found.reason


def test_a_device_that_ran_out_of_memory_is_not_said_to_have_had_the_machines(second, tmp_path):
    watch = watching(second, target="ncnn@vulkan:fp16")
    found = watch.judged(DIED, ended(-signal.SIGSEGV), log(tmp_path, "vkAllocateMemory failed -2\n"))
    assert found.room is None
    assert found.reason.startswith("out of memory at tile 48, batch 1: the process was killed by SIGSEGV")


def test_a_segmentation_fault_alone_is_a_crash(second, tmp_path):
    watch = watching(second)
    assert watch.judged(DIED, ended(-signal.SIGSEGV), log(tmp_path, "loading\n")) is DIED


def test_the_room_is_the_narrowest_bound(second, monkeypatch):
    monkeypatch.setattr(memory_room, "_address_space_bytes", lambda: None)
    assert host_room(second.group).bytes <= 3_000_000_000
    monkeypatch.setattr(memory_room, "_address_space_bytes", lambda: 1000)
    assert host_room(second.group) == Room(bytes=1000, bound=MemoryBound.ADDRESS_SPACE)


def test_the_sentence_says_where_memory_ran_out_and_with_how_much():
    room = Room(bytes=3_000_000_000, bound=MemoryBound.ADDRESS_SPACE)
    text = not_enough(workload("t192b2", tile=192, batch=2), room, "std::bad_alloc")
    assert text == "out of memory at tile 192, batch 2, with 3.00 GB (address-space limit): std::bad_alloc"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="oom_score_adj is Linux's")
def test_a_launch_offers_itself_to_the_oom_killer():
    import subprocess

    code = "from esrbench.process import volunteer_for_the_oom_killer as offer; offer(); "
    code += "print(open('/proc/self/oom_score_adj').read().strip())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1000\n"
