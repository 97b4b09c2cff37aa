"""Describe the environment variables of launches."""

import shlex
from collections.abc import Mapping

from esrbench.record import LaunchEnvironment, RunRecord


def environment_notes(record: RunRecord) -> list[str]:
    """Name the variables asked for, and those dropped."""
    found = record.launch_environment or LaunchEnvironment()
    notes = [f"Every launch except the reference's ran with {_assigned(found.asked)} (--env)."]
    dropped = ", ".join(found.dropped)
    notes += [f"Dropped from the environment of launches: {dropped}. --env NAME=VALUE sets one in every launch."]
    return [note for note, said in zip(notes, (found.asked, found.dropped), strict=True) if said]


def passed_variables(record: RunRecord) -> str:
    """Name the variables that chose libraries, devices or compilers."""
    if record.launch_environment is None:
        return "not recorded"
    return _assigned(record.launch_environment.passed) or "none that choose libraries, devices or compilers"


def _assigned(variables: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
