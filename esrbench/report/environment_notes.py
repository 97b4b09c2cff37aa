"""Describe the environment variables of launches."""

import shlex
from collections.abc import Mapping

from esrbench.record import LaunchEnvironment, RunRecord


def environment_notes(record: RunRecord) -> list[str]:
    """Name the variables asked for, and those dropped."""
    found = record.launch_environment or LaunchEnvironment()
    notes = []
    if found.asked:
        notes.append(f"Every launch except the reference's ran with {_assigned(found.asked)} (--env).")
    if found.dropped:
        dropped = ", ".join(found.dropped)
        notes.append(f"Dropped from the environment of launches: {dropped}. --env NAME=VALUE sets one in every launch.")
    return notes


def passed_variables(record: RunRecord) -> str:
    """Name the variables that chose libraries, devices or compilers."""
    if record.launch_environment is None:
        return "not recorded"
    return _assigned(record.launch_environment.passed) or "none that choose libraries, devices or compilers"


def _assigned(variables: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={value}") for name, value in variables.items())
