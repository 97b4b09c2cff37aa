"""``esrbench models``: what has a name, where its weights come from, and whether they are here."""

from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app
from esrbench.cli.output import say, say_json

if TYPE_CHECKING:
    from esrbench.zoo import Entry


INTERRUPTED = 130  # 128 + SIGINT, as shells count
ALL = "all"


@app.command()
def models(
    fetch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Download NAME's weights, verified; repeatable. `all`: every download."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the models that have a name, or fetch the weights of some."""
    from esrbench import zoo

    if fetch:
        _fetch(fetch)
    elif as_json:
        say_json(_json(zoo.ENTRIES))
    else:
        say("\n".join(_paragraph(entry) for entry in zoo.ENTRIES))
        say("The digests of downloads are third parties' pins; esrbench checks them before it reads a file.")


def _fetch(names: list[str]) -> None:
    """One after the other, every name checked before the first; what is whole stays when a later one fails."""
    from esrbench import zoo
    from esrbench.cli.console import Console
    from esrbench.cli.transfer import watching

    named = [zoo.downloads() if name == ALL else (zoo.entry(name),) for name in names]
    console = Console(stderr=True)
    try:
        for entry in dict.fromkeys(entry for entries in named for entry in entries):
            with watching(console, entry.name) as watcher:
                path = zoo.fetch(entry, watcher)
            say(path)
    except KeyboardInterrupt:
        console.print("interrupted: nothing is kept of the file that was under way", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


def _paragraph(entry: "Entry") -> str:
    """Lines instead of columns: an address and a digest must be copyable whole on a narrow terminal."""
    from esrbench.architecture import architecture_name

    here = "here" if entry.present() else "not here"
    return (
        f"{entry.name:<28}{architecture_name(entry.spec):<17}×{entry.spec.scale}  {here}\n"
        f"    {entry.source}\n"
        f"    sha256 {entry.sha256}"
    )


def _json(entries: "tuple[Entry, ...]") -> bytes:
    from esrbench.architecture import parameter_count
    from esrbench.codec import encode

    return encode(
        [
            {
                "name": entry.name,
                "spec": entry.spec,
                "parameters": parameter_count(entry.spec.parameter_shapes()),
                "flop_per_input_px": 2 * entry.spec.macs_per_input_px(),
                "receptive_field_px": entry.spec.receptive_field_px,
                "source": str(entry.source),
                "sha256": entry.sha256,
                "present": entry.present(),
                "path": str(entry.source.path() or ""),
            }
            for entry in entries
        ]
    )
