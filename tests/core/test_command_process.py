"""One call of another program: its time, its end, and its end with ours."""

import subprocess
import sys

import pytest

from esrbench import command_process
from esrbench.errors import CommandError, OutOfMemoryError
from esrbench.testing import FakeClock


def call(program: str, **environment: str) -> int:
    return command_process.call([sys.executable, "-c", program], environment, FakeClock())


def test_a_call_takes_from_its_start_to_its_end() -> None:
    clock = FakeClock()

    def watch(process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        clock.advance(7)

    assert command_process.call([sys.executable, "-c", ""], {}, clock, watch) == 7


def test_the_commands_own_variables_are_added_to_ours(monkeypatch) -> None:
    monkeypatch.setenv("OURS", "1")
    call("import os; assert os.environ['OURS'] + os.environ['ITS'] == '12'", ITS="2")


@pytest.mark.parametrize(
    ("program", "message", "exit_code"),
    [
        ("import sys; sys.exit('first line\\nno such model  ')", "exit code 1: no such model", 1),
        ("import sys; sys.exit(3)", "exit code 3, without a word", 3),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL, without a word", -9),
    ],
)
def test_a_call_that_fails_says_how_it_ended_and_its_last_words(program, message, exit_code, capfd) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        call(program)
    assert raised.value.exit_code == exit_code
    capfd.readouterr()


def test_what_an_earlier_call_said_is_not_put_down_to_the_next() -> None:
    call("import sys; sys.stderr.write('out of memory')")
    with pytest.raises(CommandError, match="exit code 3, without a word"):
        call("import sys; sys.exit(3)")


def test_a_lack_of_memory_is_told_by_what_the_program_says() -> None:
    with pytest.raises(OutOfMemoryError, match="ran out of memory: vkAllocateMemory failed -2"):
        call("import sys; sys.exit('vkAllocateMemory failed -2')")


def test_a_program_that_cannot_be_started_is_an_error(tmp_path) -> None:
    with pytest.raises(CommandError, match=r"none cannot be started: No such file"):
        command_process.call([str(tmp_path / "none")], {}, FakeClock())


FOR_EVER = "import threading; print('started', flush=True); threading.Event().wait()"
CALLER = f"""
import sys, time
from esrbench import command_process
command_process.call([sys.executable, "-c", {FOR_EVER!r}], {{}}, time.perf_counter_ns)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a process with its parent")
def test_a_command_ends_with_the_process_that_called_it() -> None:
    with subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"started\n"
        caller.kill()
        assert caller.stdout.read() == b""  # the pipe's other end closes once the command is gone, too
