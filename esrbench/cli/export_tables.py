"""Print exported and verified files for ``esrbench export``."""

from pathlib import Path
from typing import TYPE_CHECKING

from esrbench.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from esrbench.artifact import Artifact, HalfRange, LocatedArtifact, Proof
    from esrbench.verification import Verified


def say_made(made: "Sequence[LocatedArtifact]", out: Path) -> None:
    """Print exported files, notes and digests."""
    from esrbench.cli.console import Console

    if not made:
        return
    Console().print(_table(made))
    for located in made:
        for note in _notes(located.artifact):
            say(f"\n{located.artifact.files[0].name}: {note}")
    say(f"\nsha256, in {out}:")  # as sha256sum writes and checks them
    say("\n".join(f"{file.sha256}  {file.name}" for located in made for file in located.artifact.files))


def _table(made: "Sequence[LocatedArtifact]") -> "Table":
    from rich.table import Table

    from esrbench.wording import megabytes, seconds

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("file", overflow="fold")
    for heading in ("MB", "export s", "peak MB", "dB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("proved in")
    for located in made:
        artifact = located.artifact
        peak = artifact.export_peak_rss_bytes
        cost = (seconds(artifact.export_s), megabytes(peak and peak / 1e6), _db(artifact.proof))
        for index, file in enumerate(artifact.files):
            first = index == 0
            table.add_row(
                file.name,
                f"{file.size_bytes / 1e6:.2f}",
                *(cost if first else ("", "", "")),
                _proved_in(artifact.proof) if first else "",
            )
    return table


def say_verified(found: "Sequence[Verified]") -> None:
    """Print verified files, and the problem of each wrong one."""
    from esrbench.cli.console import Console

    Console().print(_verified_table(found))
    for entry in found:
        if entry.problem or entry.unproved:
            say(f"\n{entry.sidecar}: {entry.problem or entry.unproved}")
        elif entry.proof and entry.proof.half_range:
            say(f"\n{entry.sidecar}: {_half_range(entry.proof, entry.proof.half_range)}")


def _verified_table(found: "Sequence[Verified]") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("described in", overflow="fold")
    for heading in ("dB then", "dB now"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("proved in", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for entry in found:
        before = entry.artifact.proof if entry.artifact else None
        table.add_row(entry.sidecar, _db(before), _db(entry.proof), _proved_in(entry.proof), _result(entry))
    return table


def _proved_in(proof: "Proof | None") -> str:
    return "not proved" if proof is None else f"{proof.runtime}, {proof.arithmetic.value}"


def _notes(artifact: "Artifact") -> "Iterator[str]":
    """Yield what the table does not show of an artifact."""
    if artifact.unproved:
        yield f"not proved: {artifact.unproved}"
    if artifact.proof is not None and artifact.proof.half_range is not None:
        yield _half_range(artifact.proof, artifact.proof.half_range)
    yield from artifact.notes


def _half_range(proof: "Proof", found: "HalfRange") -> str:
    from esrbench.artifact import FP16_MAX

    said = (
        f"proved in {proof.arithmetic.value} arithmetic; largest activation {found.largest_activation:.3g} of "
        f"{FP16_MAX:.0f}, which fp16 holds"
    )
    if found.largest_activation <= FP16_MAX / 2:
        return said
    return f"{said}: another picture may reach more, and fp16 then draws NaN; export fp32 to be safe"


def _result(entry: "Verified") -> str:
    if entry.problem:
        return "wrong" if entry.proof else "failed"
    if entry.proof is None:
        return "not proved"
    return {True: "right, same bits", False: "right", None: "right"}[entry.identical]


def _db(proof: "Proof | None") -> str:
    """Return the PSNR of the worst shape as text."""
    from esrbench.fidelity import psnr_db
    from esrbench.wording import decibel

    return "" if proof is None else decibel(psnr_db(proof.mse))
