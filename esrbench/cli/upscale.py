"""``esrbench upscale``: one picture, several times as large."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app
from esrbench.cli.output import say, say_json

if TYPE_CHECKING:
    from esrbench.cli.console import Console
    from esrbench.upscale import Tick

LINES = 10
"""How many lines of progress are printed where there is no terminal."""


@app.command()
def upscale(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture of 8 bits a channel.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="Its format is that of the suffix.")],
    model: Annotated[
        str, typer.Option(help="A zoo name or a checkpoint; see `esrbench models`.")
    ] = "realesrgan-x4plus",
    target: Annotated[
        str, typer.Option(help="RUNTIME@DEVICE:PRECISION, or auto: a GPU where there is one, else the CPU at fp32.")
    ] = "auto",
    tile: Annotated[str, typer.Option(help="Tile side in px, halo included, or auto.")] = "auto",
    halo: Annotated[int | None, typer.Option(help="Pixels of context around a tile's core. Default: 16.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A run of this machine: auto is then the fastest target and tile that it measured."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="With --from, such as 2G: the fastest that needed no more, the picture not counted."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: the usable cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Upscale one picture, tile by tile; an existing OUT is replaced once the new one is whole."""
    from esrbench import codec, environment
    from esrbench import upscale as pictures
    from esrbench.cli.console import Console
    from esrbench.errors import UsageError
    from esrbench.measured import memory_gb

    if memory is not None and run is None:
        raise UsageError(
            f"--memory {memory} was given without --from: what fits is measured, not guessed; "
            "make a run with esrbench bench --sweep"
        )
    console = Console(stderr=True)
    request = pictures.Request(
        source=source,
        destination=destination,
        model=model,
        target=target,
        tile=_tile(tile),
        halo=halo,
        run=run,
        memory_gb=None if memory is None else memory_gb(memory),
        threads=environment.usable_cores() if threads is None else threads,
    )
    with _watching(console) as tick:
        done = pictures.upscale(request, lambda text: console.print(text, highlight=False, markup=False), tick)
    if as_json:
        say_json(codec.encode(done))
        return
    say(
        f"{done.destination}: {done.width_px}×{done.height_px} px by {done.model} on {done.target}, "
        f"{done.tiles} {'tile' if done.tiles == 1 else 'tiles'} of {done.tile_px} px in {done.upscale_s:.1f} s"
    )


def _tile(text: str) -> int | None:
    from esrbench.errors import UsageError

    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--tile {text!r} was given; it is a number of pixels, or auto") from error


@contextmanager
def _watching(console: "Console") -> "Iterator[Tick]":
    """A bar on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        yield lambda done, total: _line(console, done, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("tiles"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def _line(console: "Console", done: int, total: int) -> None:
    """Say how far it is, at most :data:`LINES` times in all."""
    if done and done * LINES // total > (done - 1) * LINES // total:
        console.print(f"{done} of {total} tiles", highlight=False)
