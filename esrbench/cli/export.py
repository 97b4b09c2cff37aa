"""``esrbench export``: a model to files that other tools load, and the proof that they draw the same picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.artifact import Interface
from esrbench.cli import app, export_tables
from esrbench.cli.output import say, say_json
from esrbench.target import Precision

if TYPE_CHECKING:
    from esrbench.artifact import Format, LocatedArtifact
    from esrbench.cli.console import Console
    from esrbench.errors import EsrbenchError
    from esrbench.exporter import ExportOptions

    Wanted = tuple[Format, ExportOptions]
    Failure = tuple[Format, ExportOptions, EsrbenchError]

NOT_RIGHT = 1
NOTHING_USABLE = 3


@app.command()
def export(
    model: Annotated[
        str | None, typer.Argument(help="A zoo name or a checkpoint; see `esrbench models`.", show_default=False)
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="onnx, ncnn, torchscript …; repeatable. Default: every portable one installed."),
    ] = None,
    precisions: Annotated[
        list[Precision] | None,
        typer.Option("--precision", metavar="fp32|fp16|bf16|int8", help="Of the weights; repeatable. Default: fp32."),
    ] = None,
    io: Annotated[
        Interface, typer.Option(help="float: planes in [0, 1]. image: RGB bytes in and out, for applications.")
    ] = Interface.FLOAT,
    shape: Annotated[
        str | None, typer.Option(metavar="[N×]H×W", help="The one input size, as 512x512. Default: any size.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="ONNX operator set. Default: the exporter's own.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("artifacts"),
    verify: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Export nothing; prove the files in DIR again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Write MODEL in one or more formats, each proved in its own runtime and described in a JSON file beside it."""
    from esrbench.errors import UsageError
    from esrbench.exporter import ExportOptions

    if verify is not None:
        _verify(verify, model, as_json=as_json)
        return
    if model is None:
        raise UsageError("which model? Give a name from `esrbench models`, or a checkpoint file")
    each = [
        ExportOptions(precision=precision, io=io, shape=_shape(shape), opset=opset)
        for precision in dict.fromkeys(precisions or [Precision.FP32])
    ]
    _export(model, _wanted(formats, each), out, named=bool(formats), as_json=as_json)


def _export(model: str, wanted: "list[Wanted]", out: Path, *, named: bool, as_json: bool) -> None:
    """Export one format after the other, and say the outcome.

    A format that this machine cannot write fails where it was ``named``; else it is left out.
    """
    from esrbench.cli.console import Console
    from esrbench.codec import encode
    from esrbench.delivery import export_to
    from esrbench.errors import EsrbenchError, UnavailableError, UsageError

    made: list[LocatedArtifact] = []
    missing: list[Failure] = []
    failed: list[Failure] = []
    console = Console(stderr=True)
    for number, (format_, options) in enumerate(wanted, start=1):
        with _doing(console, f"{number} of {len(wanted)}: {model} to {_title(format_, options)}"):
            try:
                made.append(export_to(model, format_, options, out))
            except UnavailableError as error:
                (failed if named else missing).append((format_, options, error))
            except UsageError:
                raise
            except EsrbenchError as error:
                failed.append((format_, options, error))
    if as_json:
        failures = {"failed": _reasons(failed), "left_out": _reasons(missing)}
        say_json(encode({"artifacts": [located.artifact for located in made], **failures}))
    else:
        _say_weights(model, made)
        export_tables.say_made(made, out)
        for word, entries in (("failed", failed), ("left out", missing)):
            for format_, options, reason in entries:
                say(f"\n{word}: {_title(format_, options)}: {reason}")
    if not made and all(isinstance(error, UnavailableError) for *_, error in failed):
        raise typer.Exit(NOTHING_USABLE)
    if failed:
        raise typer.Exit(NOT_RIGHT)


def _say_weights(ref: str, made: "list[LocatedArtifact]") -> None:
    """Say which of a checkpoint's networks was taken."""
    from esrbench import zoo

    if ref not in zoo.names():
        for source in dict.fromkeys(located.artifact.source for located in made):
            say(f"weights: {source or 'not recorded'}", error=True)


def _reasons(failures: "list[Failure]") -> list[dict[str, object]]:
    return [{"format": format_, "options": options, "reason": str(reason)} for format_, options, reason in failures]


def _verify(folder: Path, model: str | None, *, as_json: bool) -> None:
    from esrbench.cli.console import Console
    from esrbench.codec import encode
    from esrbench.verification import verify

    with _doing(Console(stderr=True), f"proving what lies in {folder}"):
        found = verify(folder, model)
    if as_json:
        say_json(encode(found))
    else:
        export_tables.say_verified(found)
    if any(entry.problem or entry.unproved for entry in found):
        raise typer.Exit(NOT_RIGHT)


@contextmanager
def _doing(console: "Console", what: str) -> Iterator[None]:
    """A spinner on a terminal, a line elsewhere."""
    from rich.markup import escape

    if console.is_terminal:
        with console.status(escape(what)):
            yield
    else:
        console.print(what, highlight=False, markup=False, soft_wrap=True)
        yield


def _wanted(formats: list[str] | None, each: "list[ExportOptions]") -> "list[Wanted]":
    """Every format with every set of options, checked before the first export begins.

    A format that is named must know the precision; what only some formats have, such as an opset, must be known by
    one of them and is left out for the others.
    """
    from esrbench import plugins
    from esrbench.errors import UsageError

    if formats:
        exporters = [plugins.exporter(name) for name in dict.fromkeys(formats)]
    else:
        exporters = [exporter for exporter in plugins.exporters().values() if exporter.portable]
    unknown = each[0].asked().difference(*(exporter.takes for exporter in exporters))
    if unknown:
        named = ", ".join(exporter.format for exporter in exporters)
        raise UsageError(f"--{' and --'.join(sorted(unknown))}: no format here has that; asked for: {named}")
    wanted: list[Wanted] = []
    for exporter in exporters:
        for options in each:
            if options.precision in exporter.precisions:
                wanted.append((exporter.format, options.only(exporter.takes)))
            elif formats:  # only what was asked for by name is refused
                known = ", ".join(sorted(exporter.precisions))
                raise UsageError(
                    f"{exporter.format} is not written as {options.precision.value}; choose one of {known}"
                )
    return wanted


def _shape(text: str | None) -> tuple[int, int, int] | None:
    """``64x96`` or ``2x64x96`` as (N, H, W)."""
    from esrbench.errors import UsageError

    if text is None:
        return None
    sides = text.replace("×", "x").lower().split("x")
    if len(sides) not in (2, 3) or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise UsageError(f"--shape {text!r} is not of the form HxW or NxHxW, for example 512x512")
    count, height, width = (int(side) for side in (["1", *sides] if len(sides) == 2 else sides))
    return count, height, width


def _title(format_: "Format", options: "ExportOptions") -> str:
    asked = [f"{name} {getattr(options, name)}" for name in sorted(options.asked())]
    return " ".join([format_, options.precision.value, *asked])
