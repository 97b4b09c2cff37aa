"""``esrbench bench``: measure, record, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esrbench.cli import app

if TYPE_CHECKING:
    from esrbench.likeness import Aspect

WITH_RESUME = frozenset({"resume", "command", "allow", "env", "rounds", "no_wait", "reports", "as_json"})
"""Options that do not change a plan."""

COMMANDS = "commands"
"""With --resume --allow: run the programs that the record names. Not one of `all`: it changes nothing, it trusts."""


@app.command()
def bench(
    context: typer.Context,
    suite: Annotated[str, typer.Option(help="A preset (quick, full, gpu) or FILE.toml.")] = "quick",
    model: Annotated[str | None, typer.Option(help="A zoo name or a checkpoint; see `esrbench models`.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="RUNTIME@DEVICE:PRECISION; repeatable. Default: all.")
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option(help="Another program, as NAME@DEVICE:PRECISION='PROGRAM -i {input} -o {output}'; repeatable."),
    ] = None,
    image: Annotated[str | None, typer.Option(help="A picture, or a sample's name; taken whole.")] = None,
    tile: Annotated[list[int] | None, typer.Option(help="Tile side in px, halo included; repeatable.")] = None,
    halo: Annotated[int | None, typer.Option(help="Pixels around a tile's core, cut off afterwards.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Tiles a batch; repeatable.")] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep", help="Measure nothing but every --tile with every --batch, small to large: speed against memory."
        ),
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads of every target. Default: the usable cores.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for measured launches, such as 90s or 4m.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="End before the budget once every interval is within ± this, such as 1%.")
    ] = None,
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune",
            help="Find each target's fastest settings first, outside the budget; or measure the defaults. "
            "Without either, as the suite says: most use what an earlier run found.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE in the environment of every launch, which is a clean one otherwise; repeatable. "
            "It is recorded and reported."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. Default: results/<date and time>.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder, which was cut short.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="With --resume, what may have changed: machine, weights, workload, threads, versions, environment "
            "or all. commands, which is not part of all, runs the programs that the record names."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Pause after so many rounds; --resume goes on with the next ones.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Refuse while another run measures here.")] = False,
    reports: Annotated[Path, typer.Option(help="Where the report's folder is put.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the same tiles through every target; record speed, memory and fidelity, and report them side by side."""
    from esrbench import suite as suites
    from esrbench.cli.ending import end_on_signals
    from esrbench.cli.measuring import NewRun, RestOfRun, measure
    from esrbench.command import Command
    from esrbench.resume import Asked
    from esrbench.system import child_environment

    end_on_signals()
    environment = child_environment.parsed(env or ())
    commands = tuple(Command.parse(text) for text in command or ())
    if resume is not None:
        _refuse_plan_options(context, resume)
        names = allow or []
        asked = Asked(environment=environment, commands=commands, recorded_commands=COMMANDS in names)
        allowed = _aspects([name for name in names if name != COMMANDS])
        rest = RestOfRun(folder=resume.resolve(), allowed=allowed, asked=asked)
        raise typer.Exit(measure(rest, reports, rounds=rounds, wait=not no_wait, as_json=as_json))
    wanted = suites.Overrides(
        model=model,
        targets=tuple(target or ()),
        commands=commands,
        image=image,
        tiles=tuple(tile or ()),
        halo=halo,
        batches=tuple(batch or ()),
        budget_s=suites.seconds(budget) if budget is not None else None,
        precision_percent=suites.percent(precision) if precision is not None else None,
        tune=tune,
        environment=environment,
        sweep=sweep,
    )
    new = NewRun(suite=suites.override(suites.load(suite), wanted), threads=_checked(threads), out=out)
    raise typer.Exit(measure(new, reports, rounds=rounds, wait=not no_wait, as_json=as_json))


def _refuse_plan_options(context: typer.Context, folder: Path) -> None:
    """A run goes on as it was planned, or its rounds would not compare."""
    from esrbench.errors import UsageError

    given = [
        name
        for name in context.params
        if name not in WITH_RESUME and getattr(context.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"
    ]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"--resume goes on with the plan in {folder}, which {options} would change; leave it out")


def _aspects(names: list[str]) -> "frozenset[Aspect]":
    from esrbench.errors import UnknownNameError
    from esrbench.likeness import Aspect

    if "all" in names:
        return frozenset(Aspect)
    known = {aspect.value: aspect for aspect in Aspect}
    for name in names:
        if name not in known:
            raise UnknownNameError("kind of change", name, known)
    return frozenset(known[name] for name in names)


def _checked(threads: int | None) -> int | None:
    from esrbench.suite import MOST_THREADS, check_range

    if threads is not None:
        check_range("--threads", threads, 1, MOST_THREADS)
    return threads
