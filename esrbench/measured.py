"""What a recorded run recommends on this machine: the fastest target and tile within a memory budget, never a guess."""

import re

from esrbench.compare import instruction_sets, machine_name
from esrbench.errors import UsageError
from esrbench.frontier import Spot, fastest_within, spots
from esrbench.record import Environment
from esrbench.store import Run
from esrbench.target import Precision
from esrbench.wording import gigabytes

_UNITS_GB = {"M": 1e-3, "G": 1.0}


def recommended(
    run: Run,
    here: Environment,
    weights_sha256: str,
    *,
    target: str | None,
    tile_px: int | None,
    budget_gb: float | None,
) -> Spot:
    """The fastest spot of ``run`` for one tile at a time; of ``target`` and ``tile_px`` alone where they are given.

    int8 has to be named: its picture is a trade.

    Raises:
        UsageError: it was measured on another machine or with other weights, or nothing of it fits.
    """
    measured = run.record.environment
    if _machine(measured) != _machine(here):
        there, this = (f"{machine_name(each)} ({instruction_sets(each)})" for each in (measured, here))
        raise UsageError(
            f"{run.name} was measured on {there}, this machine is {this}: it says nothing of what is "
            "fast or fits here; measure with esrbench bench --sweep"
        )
    if run.record.model.weights_sha256 != weights_sha256:
        raise UsageError(
            f"{run.name} measured {run.record.model.name} with other weights; give that --model, or measure"
        )
    single = [
        spot
        for spot in spots(run)
        if spot.batch == 1 and tile_px in (None, spot.tile_px)
        if spot.target == target or (target is None and spot.target.precision is not Precision.INT8)
    ]
    if not single:
        raise UsageError(f"{run.name} has no such target and tile with a speed and its memory in batches of one")
    found = fastest_within(single, float("inf") if budget_gb is None else budget_gb)
    if found is None:
        least = min(single, key=lambda spot: spot.memory_mb)
        raise UsageError(
            f"--memory {budget_gb:g}G: nothing in {run.name} fits; the least is {gigabytes(least.memory_mb)}, "
            f"{least.target} with tiles of {least.tile_px} px"
        )
    return found


def _machine(facts: Environment) -> tuple[object, ...]:
    return facts.cpu, facts.cpu_features, facts.usable_cores, facts.gpus


def memory_gb(text: str) -> float:
    """``2G``, ``1.5GB`` or ``800M`` in GB of 10⁹ bytes.

    Raises:
        UsageError: no such form.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([MG])B?\s*", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"memory {text!r} is no amount; write for example 2G or 800M")
    return float(match[1]) * _UNITS_GB[match[2].upper()]
