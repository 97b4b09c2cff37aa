"""``esrbench bench``: measure, record, report."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app

if TYPE_CHECKING:
    from esrbench.record import Status
    from esrbench.suite import Suite

WRONG_PICTURE = 1
NOTHING_MEASURED = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells count


@app.command()
def bench(
    suite: Annotated[str, typer.Option(help="A preset (quick, full, gpu) or FILE.toml.")] = "quick",
    model: Annotated[str | None, typer.Option(help="A zoo name or a checkpoint; see `esrbench models`.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="RUNTIME@DEVICE:PRECISION; repeatable. Default: all.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="A picture, or a sample's name; taken whole.")] = None,
    tile: Annotated[list[int] | None, typer.Option(help="Tile side in px, halo included; repeatable.")] = None,
    halo: Annotated[int | None, typer.Option(help="Pixels around a tile's core, cut off afterwards.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Tiles a batch; repeatable.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of every target. Default: the usable cores.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for measured launches, such as 90s or 4m.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: results/<date and time>.")] = None,
    reports: Annotated[Path, typer.Option(help="Where the report's folder is put.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the same tiles through every target; record speed, memory and fidelity, and report them side by side."""
    from esrbench import suite as suites

    wanted = suites.Overrides(
        model=model,
        targets=tuple(target or ()),
        image=image,
        tiles=tuple(tile or ()),
        halo=halo,
        batches=tuple(batch or ()),
        budget_s=suites.seconds(budget) if budget is not None else None,
    )
    chosen = suites.override(suites.load(suite), wanted)
    folder = out or Path("results") / datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    raise typer.Exit(_measured(chosen, threads, folder, reports / folder.name, as_json=as_json))


def _measured(suite: "Suite", threads: int | None, folder: Path, report: Path, *, as_json: bool) -> int:
    """Make the run and its report; returns the exit code."""
    from rich.console import Console

    from esrbench import environment, prepare, store
    from esrbench.cli.progress import watching
    from esrbench.cli.report import present
    from esrbench.harness import Harness
    from esrbench.report.folder import check_place

    console = Console(stderr=True)
    store.check_new_folder(folder)
    check_place(report)
    prepared = prepare.prepare(
        suite,
        _thread_budget(threads, environment.usable_cores()),
        lambda text: console.print(text, highlight=False, markup=False),
    )
    plan, writer = prepare.begin(prepared, folder)
    try:
        with watching(console) as progress:
            Harness(plan, writer, progress).run()
    except KeyboardInterrupt:
        kept = len(store.read_run(folder).launches)
        text = f"interrupted: {kept} launches are kept in {folder}; `esrbench report {folder}` renders them"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return INTERRUPTED
    run = store.read_run(folder)
    present([run], report, as_json=as_json)
    return _exit_code({launch.status for launch in run.launches})


def _thread_budget(asked: int | None, usable: int) -> int:
    from esrbench.errors import UsageError

    if asked is not None and asked < 1:
        raise UsageError(f"--threads {asked} was asked for; a target needs at least 1 thread")
    return asked or usable


def _exit_code(statuses: set["Status"]) -> int:
    from esrbench.record import Status

    if Status.WRONG in statuses:
        return WRONG_PICTURE
    return 0 if Status.OK in statuses else NOTHING_MEASURED
