"""The command line: the only place that prints or exits.

Each command has a module here whose imports at the top are light; what is heavy is imported inside the command, so
that ``--help`` answers at once.
"""

import errno
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from esrbench import __version__
from esrbench.cli.output import say
from esrbench.errors import EsrbenchError, UnavailableError, UsageError

OUTPUT_LOST = 74  # EX_IOERR of sysexits.h
_OF_A_PATH = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM}
"""What ``Path.exists()`` and its like raise of a path that somebody gave."""

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class _Unforeseen(Exception):
    """Carry ``error`` past Typer, which would exit with code 1.

    That code has a meaning here: the thing asked about is not so.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> object:  # Typer brings its own copy of click since 0.20
        try:
            return super().invoke(ctx)
        except (OSError, EOFError) as error:
            if str(error.args[-1:]).startswith("('No usable temporary directory"):  # as tempfile words it
                raise UsageError("no folder for temporary files can be written; set TMPDIR to one that can") from error
            if isinstance(error, OSError) and error.errno in _OF_A_PATH and error.filename is not None:
                raise UsageError(f"{str(error.filename)[:200]} cannot be used: {error.strerror}") from error
            raise _Unforeseen(error) from error


app = typer.Typer(
    name="esrbench",
    cls=_Commands,
    help="Export Real-ESRGAN to every runtime, prove that each export draws the same picture, and measure them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        say(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; exit after at most one message."""
    from esrbench.cli import streams

    streams.open_them()
    code = _run()
    if (failure := streams.output_failure()) is not None:
        if not isinstance(failure, BrokenPipeError):  # `| head`: the reader had enough, and nobody need be told
            say(f"esrbench: standard output could not be written: {failure.strerror}", error=True)
        code = code or OUTPUT_LOST
    sys.exit(code)


def exit_code(error: EsrbenchError) -> int:
    """2: bad usage or input; 3: nothing could run; 1: the thing asked about is not so."""
    if isinstance(error, UsageError):
        return 2
    return 3 if isinstance(error, UnavailableError) else 1


def _run() -> int:
    from esrbench.cli import crash

    try:
        from esrbench.cli import bench, compare, doctor, export, models, report, upscale  # noqa: F401

        _check_working_folder()
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except EsrbenchError as error:
        say(f"esrbench: {error}", error=True)
        return exit_code(error)
    except Exception as error:  # the top: nobody else can tell
        met = error.error if isinstance(error, _Unforeseen) else error
        say(f"esrbench: {crash.line(met)}", error=True)
        return crash.SOFTWARE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the folder that esrbench was started in cannot be used: {error.strerror}; change to another one"
        ) from error
