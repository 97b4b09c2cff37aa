"""``esrbench compare``: two runs, or the cases of one, and a gate for pipelines."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from esrbench.cli import app
from esrbench.cli.output import say, say_json

if TYPE_CHECKING:
    from esrbench.comparison import Comparison
    from esrbench.gate import Failure

FAILED = 1

E = TypeVar("E", bound=StrEnum)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Folder of a recorded run.")],
    head: Annotated[
        Path | None, typer.Argument(metavar="[HEAD]", help="Folder of another. Default: compare the cases of BASE.")
    ] = None,
    of: Annotated[str | None, typer.Option(help="Within one run: target, tile or precision. [default: target]")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The base within one run: a target, a tile, a precision. Default: reference, smallest, fp32."
        ),
    ] = None,
    boundary: Annotated[str, typer.Option(help="image (throughput), tile (latency) or cold (start).")] = "image",
    worth: Annotated[str, typer.Option(help="The smallest difference worth reporting.")] = "3%",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare runs unlike in machine, weights, workload, threads, versions, environment, "
            "settings or all; repeatable."
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit 1 on slower[:PCT], unclear, vanished, wrong, memory[:PCT], size[:PCT], nodes or rounds; "
            "repeatable. slower implies vanished and wrong."
        ),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write a comment for a pull request to FILE.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Say what is faster, slower, the same or unclear: between two runs, or between the cases of one."""
    from esrbench import gate

    gates = [gate.parse(text) for text in fail_on or ()]
    found = _compared(base, head, of, against, boundary, worth, allow or ())
    failures = gate.failures(found, gates)
    if markdown is not None:
        _write(markdown, found, failures)
    _print(found, failures, as_json=as_json)
    if failures:
        raise typer.Exit(FAILED)


def _compared(
    base: Path,
    head: Path | None,
    of: str | None,
    against: str | None,
    boundary: str,
    worth: str,
    allow: Sequence[str],
) -> "Comparison":
    from esrbench.comparison import compare_runs, compare_within
    from esrbench.errors import UsageError
    from esrbench.gate import percentage
    from esrbench.likeness import Aspect
    from esrbench.pairing import Axis
    from esrbench.rounds import Boundary
    from esrbench.store import read_run
    from esrbench.verdict import Bar

    bar = Bar(worth=percentage(worth, "--worth"))
    at = _member(Boundary, boundary, "boundary")
    if head is None:
        axis = _member(Axis, of or "target", "axis")
        return compare_within(read_run(base.resolve()), axis, against, boundary=at, bar=bar)
    if of is not None or against is not None:
        raise UsageError(f"--of and --against are for the cases of one run; {base} and {head} are two")
    allowed = list(Aspect) if "all" in allow else [_member(Aspect, text, "kind of difference") for text in allow]
    return compare_runs(read_run(base.resolve()), read_run(head.resolve()), boundary=at, bar=bar, allowed=allowed)


def _member(kind: type[E], text: str, what: str) -> E:
    from esrbench.errors import UnknownNameError

    try:
        return kind(text)
    except ValueError:
        raise UnknownNameError(what, text, [member.value for member in kind]) from None


def _write(path: Path, found: "Comparison", failures: "Sequence[Failure]") -> None:
    from esrbench.errors import OutputError
    from esrbench.report.compared import comparison_md

    try:
        path.write_text(comparison_md(found, failures), encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another --markdown") from error


def _print(found: "Comparison", failures: "Sequence[Failure]", *, as_json: bool) -> None:
    from esrbench.cli.console import Console
    from esrbench.codec import encode
    from esrbench.report.compared import comparison_table, headline

    if as_json:
        say_json(encode({"comparison": found, "failures": list(failures)}))
        return
    console = Console()
    console.print(headline(found), highlight=False, markup=False)
    console.print()
    console.print(comparison_table(found))
    for failure in failures:
        say(f"esrbench: {failure.name}: {failure.kind}: {failure.reason}", error=True)
