"""``esrbench report``: recorded runs become a page, charts and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app
from esrbench.cli.output import say, say_json

RUN_FILE = "run.json"

if TYPE_CHECKING:
    from esrbench.store import Run


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Folders of recorded runs, under results/, or folders of those.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The report's folder. [default: reports/NAME of the first run]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Write the report of recorded runs: index.html, charts, summary.md and summary.csv; several show what changed."""
    from esrbench.store import read_run

    read = [read_run(folder.resolve()) for folder in _folders(runs)]
    present(read, out or Path("reports") / read[0].name, as_json=as_json)


def _folders(paths: Sequence[Path]) -> list[Path]:
    """The runs among ``paths`` and in the folders among them; of several, what holds none is left out, and named.

    So `results/*` works as it stands, with a README and folders of runs in it.
    """
    found: dict[Path, list[Path]] = {path: _runs_at(path) for path in paths}
    empty = [path for path, folders in found.items() if not folders]
    if len(empty) == len(found):
        return list(paths)  # reading the first says what is wrong with it
    for path in empty:
        if not path.exists():
            return [path]
        say(f"{path} holds no run: left out", error=True)
    return [folder for folders in found.values() for folder in folders]


def _runs_at(path: Path) -> list[Path]:
    if (path / RUN_FILE).exists():
        return [path]
    return sorted(file.parent for file in path.glob(f"*/{RUN_FILE}"))


def present(runs: "Sequence[Run]", out: Path, *, as_json: bool) -> None:
    """Write the report of ``runs`` to ``out`` and print the answer, the table and where the page is.

    Raises:
        OutputError: ``out`` holds something else, or cannot be written.
    """
    from esrbench.cli.console import Console
    from esrbench.compare import answer
    from esrbench.report import render, terminal_table

    index = render(runs, out)
    if as_json:
        say_json(_json(runs, index))
        return
    console = Console()
    for run in runs:
        console.print(answer(run).replace("`", ""), highlight=False, markup=False)
        console.print()
        console.print(terminal_table(run))
        console.print()
    # Not through rich: a path that is wrapped cannot be copied.
    say(index)


def _json(runs: "Sequence[Run]", index: Path) -> bytes:
    """The rows as JSON. A PSNR of null beside an mse of 0 is an identical picture: JSON has no infinity."""
    from esrbench.codec import encode
    from esrbench.compare import answer, ranking, summarise
    from esrbench.history import histories

    found = [{"name": run.name, "answer": answer(run), "cases": ranking(summarise(run))} for run in runs]
    return encode({"index": str(index), "runs": found, "history": histories(runs)})
