"""What each target of a run is given: its artifact, exported now or taken from the cache, or why there is none."""

from collections.abc import Callable, Mapping, Sequence

from esrbench import command_target, export, plugins
from esrbench.artifact import Format, LocatedArtifact
from esrbench.command import Command
from esrbench.errors import EsrbenchError, UnavailableError, UsageError
from esrbench.exporter import ExportOptions
from esrbench.plan import Refusal
from esrbench.record import Status
from esrbench.target import Precision, Target

Say = Callable[[str], None]
"""Where to tell what is being done."""


def artifacts(
    model: str, targets: Sequence[Target], say: Say, commands: Mapping[Target, Command]
) -> tuple[dict[Target, LocatedArtifact], dict[Target, Refusal]]:
    """Each target's artifact, or why there is none; targets that want the same one share it."""
    made: dict[tuple[Format, Precision], LocatedArtifact | EsrbenchError] = {}
    found: dict[Target, LocatedArtifact] = {}
    failed: dict[Target, Refusal] = {}
    for target in dict.fromkeys(targets):
        try:
            wanted = _wanted(target, commands.get(target))
        except UnavailableError as none:  # no exporter for one runtime must not end the run of the others
            failed[target] = Refusal(status=Status.UNAVAILABLE, reason=none.reason, remedy=none.remedy)
            continue
        except EsrbenchError as raised:  # nor must a plug-in that raises
            reason = f"its runner could not say which artifact it wants: {raised}"
            failed[target] = Refusal(status=Status.ERROR, reason=reason)
            continue
        if wanted is None:
            continue
        if wanted not in made:
            made[wanted] = _export(model, *wanted, say)
        match made[wanted]:
            case LocatedArtifact() as artifact:
                found[target] = artifact
            case UnavailableError() as missing:
                failed[target] = Refusal(status=Status.UNAVAILABLE, reason=missing.reason, remedy=missing.remedy)
            case error:
                failed[target] = Refusal(status=Status.ERROR, reason=f"its artifact could not be exported: {error}")
    return found, failed


def _wanted(target: Target, command: Command | None) -> tuple[Format, Precision] | None:
    """The artifact that a target is given; None for a command that has a model of its own."""
    if command is not None:
        return command_target.artifact_of(command)
    return plugins.artifact_for(target)


def _export(model: str, format_: Format, precision: Precision, say: Say) -> LocatedArtifact | EsrbenchError:
    say(f"exporting {model} to {format_} {precision.value}, or taking it from the cache")
    try:
        return export.ensure_artifact(model, format_, ExportOptions(precision=precision))
    except UsageError:
        raise
    except EsrbenchError as error:
        return error
