"""What the command line prints, wherever it goes; and what it says of errors that nobody foresaw."""

import errno
import io
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from esrbench import cli
from esrbench.cli import crash, output
from esrbench.errors import UnavailableError, UsageError

FAILING = """
import os, sys
from esrbench import cli
from esrbench.cli import models
def fail(*_): raise {error}
models._paragraph = fail
sys.argv = ["esrbench", "models"]
cli.main()
"""
PRINTING = """
import sys
from esrbench import cli
from esrbench.cli import models
models._paragraph = lambda entry: {text}
sys.argv = ["esrbench", "models"]
cli.main()
"""


def run(code, *, shell='exec "$0" -c "$1"', **environment):
    command = ["sh", "-c", shell, sys.executable, code]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False, timeout=60)


@pytest.mark.parametrize(
    "error", ['RuntimeError("first\\nsecond")', "BrokenPipeError(32, 'x')", "MemoryError()", "EOFError()"]
)
def test_an_unforeseen_error_is_one_line_and_a_private_file_with_its_details(error, tmp_path):
    done = run(FAILING.format(error=error), TMPDIR=str(tmp_path))
    (kept,) = tmp_path.iterdir()
    said = done.stderr.decode()
    assert (done.returncode, said.count("\n")) == (crash.SOFTWARE, 1)
    assert str(kept) in said
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "Traceback" in kept.read_text()
    assert "arguments: ['esrbench', 'models']" in kept.read_text()


def test_a_machine_without_a_temporary_folder_is_told_so():
    done = run(FAILING.format(error="FileNotFoundError(2, 'No usable temporary directory found in ...')"))
    assert done.returncode == 2
    assert b"set TMPDIR" in done.stderr


def test_a_crash_is_told_where_no_folder_takes_its_details(monkeypatch, tmp_path):
    def none_usable():
        raise FileNotFoundError("no usable temporary folder")

    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    monkeypatch.setenv("ESRBENCH_CACHE", str(tmp_path / "file"))
    assert "could not be written anywhere" in crash.line(ValueError("x"))


def test_an_error_that_cannot_even_be_printed_is_reported():
    class Unprintable(Exception):
        def __str__(self):
            raise ValueError

    assert "internal error: Unprintable" in crash.line(Unprintable())


@pytest.mark.parametrize(
    ("shell", "code", "lines"),
    [
        ('"$0" -c "$1" >/dev/full', cli.OUTPUT_LOST, 1),
        ('"$0" -c "$1" >&-', cli.OUTPUT_LOST, 1),
        ('"$0" -c "$1" 2>&- >/dev/full', cli.OUTPUT_LOST, 0),
        ('"$0" -c "$1" <&- >/dev/null', 0, 0),
    ],
)
def test_output_that_nobody_takes_is_one_line_and_an_exit_code_of_its_own(shell, code, lines):
    done = run(PRINTING.format(text="'many words ' * 50_000"), shell=shell)
    said = done.stderr.decode().splitlines()
    assert not [line for line in said if "Traceback" in line or "Exception" in line]
    assert (done.returncode, len(said)) == (code, lines)


def test_a_reader_that_had_enough_is_told_nothing():
    shell = '{ "$0" -c "$1"; echo $? >&2; } | true'
    done = run(PRINTING.format(text="'many words ' * 50_000"), shell=shell)
    assert done.stderr.decode() == f"{cli.OUTPUT_LOST}\n"


def test_text_that_the_terminal_cannot_show_is_replaced():
    done = run(PRINTING.format(text=ascii("2\u00d7 gr\udcf6\u00dfer")), PYTHONIOENCODING="ascii")
    assert (done.returncode, b"2? gr??er\n" in done.stdout) == (0, True)


def test_a_folder_that_was_deleted_is_refused(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = run(
        PRINTING.format(text="str()"), shell=f'cd {gone} && rmdir {gone} && PYTHONPATH={Path.cwd()} "$0" -c "$1"'
    )
    assert done.returncode == 2
    assert b"change to another one" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (UnavailableError("x"), 3),
        (KeyboardInterrupt, 130),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), 2),
        (PermissionError(errno.EACCES, "Permission denied", "/theirs"), 2),
    ],
)
def test_errors_that_are_foreseen_have_their_exit_codes(error, code, monkeypatch, capsys):
    from esrbench.cli import models

    def fail(*_):
        raise error

    monkeypatch.setattr(models, "_paragraph", fail)
    monkeypatch.setattr(sys, "argv", ["esrbench", "models"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "\\u00d7"), ("latin-1", "\\u00d7"), ("utf-8", "\u00d7")])
def test_json_means_the_same_in_every_encoding(encoding, shown, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    output.say_json('["\u00d7"]\n'.encode())
    stream.flush()
    assert stream.buffer.getvalue() == f'["{shown}"]\n'.encode(encoding)
