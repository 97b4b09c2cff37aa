"""``esrbench export``: a model to files that other tools load."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app
from esrbench.target import Precision

if TYPE_CHECKING:
    from rich.table import Table

    from esrbench.artifact import Format, LocatedArtifact


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A zoo name or a checkpoint; see `esrbench models`.")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="onnx, ncnn, torchscript, pytorch; repeatable. Default: all installed."),
    ] = None,
    precisions: Annotated[
        list[Precision] | None, typer.Option("--precision", help="Of the weights; repeatable. Default: fp32.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("artifacts"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the artifacts' descriptions as JSON.")] = False,
) -> None:
    """Write MODEL in one or more formats, each with a JSON description beside it."""
    from rich.console import Console
    from rich.markup import escape

    from esrbench.codec import encode
    from esrbench.delivery import export_to
    from esrbench.exporter import ExportOptions

    wanted = _wanted(formats, precisions or [Precision.FP32])
    console = Console(stderr=True)
    made = []
    for format_, precision in wanted:
        with console.status(escape(f"exporting {model} to {format_} {precision.value}")):
            made.append(export_to(model, format_, ExportOptions(precision=precision), out))
    if as_json:
        print(encode([located.artifact for located in made]).decode(), end="")
    else:
        Console().print(_table(made))
        print("\nNot compared here: `esrbench bench` compares each runtime's picture with torch@cpu:fp32.")
        print(f"\nsha256, in {out}:")  # as sha256sum writes and checks them
        print("\n".join(f"{file.sha256}  {file.name}" for located in made for file in located.artifact.files))


def _wanted(formats: list[str] | None, precisions: list[Precision]) -> "list[tuple[Format, Precision]]":
    """Every format at every precision, checked before the first export begins."""
    from esrbench import plugins
    from esrbench.errors import UsageError

    exporters = [plugins.exporter(name) for name in dict.fromkeys(formats)] if formats else plugins.exporters().values()
    wanted = []
    for exporter in exporters:
        for precision in dict.fromkeys(precisions):
            if precision in exporter.precisions:
                wanted.append((exporter.format, precision))
            elif formats:  # only what was asked for by name is refused
                known = ", ".join(sorted(exporter.precisions))
                raise UsageError(f"{exporter.format} is not written as {precision.value}; choose one of {known}")
    return wanted


def _table(made: "list[LocatedArtifact]") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    for heading in ("MB", "export s", "peak MB"):
        table.add_column(heading, justify="right")
    for located in made:
        artifact = located.artifact
        for index, file in enumerate(artifact.files):
            seconds = "" if index or artifact.export_s is None else f"{artifact.export_s:.2f}"
            peak = artifact.export_peak_rss_bytes
            memory = "" if index or peak is None else f"{peak / 1e6:.0f}"
            table.add_row(file.name, f"{file.size_bytes / 1e6:.2f}", seconds, memory)
    return table
