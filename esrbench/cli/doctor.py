"""``esrbench doctor``: every target, usable or why not, and what to install."""

from itertools import groupby
from typing import TYPE_CHECKING

import typer

from esrbench.cli import app
from esrbench.cli.output import say_json

if TYPE_CHECKING:
    from rich.table import Table

    from esrbench.plugins import BrokenPlugin
    from esrbench.probe import BrokenRuntime, Probed
    from esrbench.runner import Availability

NOTHING_USABLE = 3


@app.command()
def doctor(json: bool = typer.Option(False, "--json", help="Print JSON instead of a table.")) -> None:
    """Say which targets can run on this machine, and for the others why not and what to install."""
    from esrbench import plugins, probe
    from esrbench.cli.ending import end_on_signals

    end_on_signals()

    probed, broken = probe.ask(), plugins.broken()
    if json:
        _print_json(probed, broken)
    else:
        _print_tables(probed, broken)
    if not any(entry.usable for entry in probed.targets):
        raise typer.Exit(NOTHING_USABLE)


def _print_json(probed: "Probed", broken: "tuple[BrokenPlugin, ...]") -> None:
    from esrbench.codec import encode

    document = {"targets": probed.targets, "broken_runtimes": probed.broken, "broken_plugins": broken}
    say_json(encode(document))


def _print_tables(probed: "Probed", broken: "tuple[BrokenPlugin, ...]") -> None:
    from rich.markup import escape

    from esrbench.cli.console import Console

    console = Console()
    console.print(_targets(probed))
    usable = sum(entry.usable for entry in probed.targets)
    console.print(f"{usable} of {len(probed.targets)} targets can run here")
    for runtime in _not_listed(probed, broken):
        remedy = f"; {runtime.remedy}" if runtime.remedy else ""
        console.print(escape(f"runtime {runtime.name}: {runtime.reason}{remedy}"), style="red", soft_wrap=True)
    for plugin in broken:
        text = f"plug-in {plugin.name} ({plugin.group}) of {plugin.distribution} is left out: {plugin.reason}"
        console.print(escape(text), style="red", soft_wrap=True)


def _targets(probed: "Probed") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("target", no_wrap=True)
    table.add_column("usable")
    table.add_column("device, or why not", overflow="fold")
    table.add_column("what to do", overflow="fold")
    for (usable, about, remedy), entries in groupby(probed.targets, key=_what_is_said):
        mark = "[green]yes[/]" if usable else "[yellow]no[/]"
        targets = [entry.target for entry in entries]
        table.add_row("\n".join(targets), "\n".join([mark] * len(targets)), escape(about), escape(remedy))
    return table


def _what_is_said(entry: "Availability") -> tuple[bool, str, str]:
    """Neighbours of whom the same is said share a row."""
    about = f"{entry.device_name} ({entry.device_type})" if entry.usable else entry.reason or ""
    return entry.usable, about, entry.remedy or ""


def _not_listed(probed: "Probed", broken: "tuple[BrokenPlugin, ...]") -> "list[BrokenRuntime]":
    """Runtimes that did not answer, less those whose plug-in is reported anyway."""
    reported = {plugin.name for plugin in broken if plugin.group == "esrbench.runners"}
    return [runtime for runtime in probed.broken if runtime.name not in reported]
