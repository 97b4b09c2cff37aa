"""``esrbench report``: recorded runs become a page, charts and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app

if TYPE_CHECKING:
    from esrbench.store import Run


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of recorded runs, under results/.")],
    out: Annotated[
        Path | None, typer.Option(help="The report's folder. [default: reports/NAME of the first run]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Write the report of recorded runs: index.html, charts, summary.md and summary.csv."""
    from esrbench.store import read_run

    read = [read_run(folder.resolve()) for folder in runs]
    present(read, out or Path("reports") / read[0].name, as_json=as_json)


def present(runs: "Sequence[Run]", out: Path, *, as_json: bool) -> None:
    """Write the report of ``runs`` to ``out`` and print the answer, the table and where the page is.

    Raises:
        OutputError: ``out`` holds something else, or cannot be written.
    """
    from rich.console import Console

    from esrbench.compare import answer
    from esrbench.report import render, terminal_table

    index = render(runs, out)
    if as_json:
        print(_json(runs, index))
        return
    console = Console()
    for run in runs:
        console.print(answer(run).replace("`", ""), highlight=False, markup=False)
        console.print()
        console.print(terminal_table(run))
        console.print()
    # Not through rich: a path that is wrapped cannot be copied.
    print(index)


def _json(runs: "Sequence[Run]", index: Path) -> str:
    """The rows as JSON. A PSNR of null beside an mse of 0 is an identical picture: JSON has no infinity."""
    from esrbench.codec import encode
    from esrbench.compare import answer, ranking, summarise

    found = [{"name": run.name, "answer": answer(run), "cases": ranking(summarise(run))} for run in runs]
    return encode({"index": str(index), "runs": found}).decode().rstrip()
