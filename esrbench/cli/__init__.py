"""The command line: the only place that prints or exits.

Each command has a module here whose imports at the top are light; what is heavy is imported inside the command, so
that ``--help`` answers at once.
"""

import sys

import typer

from esrbench import __version__
from esrbench.cli.output import say
from esrbench.errors import EsrbenchError, UnavailableError, UsageError

app = typer.Typer(
    name="esrbench",
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
    """Run the command line; every deliberate error becomes one message and an exit code."""
    from esrbench.cli import bench, compare, doctor, export, models, report, upscale  # noqa: F401

    try:
        app()
    except EsrbenchError as error:
        say(f"esrbench: {error}", error=True)
        sys.exit(exit_code(error))


def exit_code(error: EsrbenchError) -> int:
    """2: bad usage or input; 3: nothing could run; 1: the thing asked about is not so."""
    if isinstance(error, UsageError):
        return 2
    return 3 if isinstance(error, UnavailableError) else 1
