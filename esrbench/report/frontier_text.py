"""The fastest within a memory budget, as rows of text."""

from esrbench.frontier import choices, groups, has_sizes, spots
from esrbench.report.escape import escaped
from esrbench.store import Run
from esrbench.wording import decibel, gigabytes, significant

HEADS = ("memory at most", "fastest target", "tile", "batch", "Mpix/s, large picture", "peak memory", "PSNR dB")
MEMORY = {False: "RAM", True: "device memory"}


def budget_rows(run: Run) -> list[tuple[str, ...]]:
    """A row a budget that makes a difference, in the order of :data:`HEADS`; none where the run has a single size."""
    if not has_sizes(run):
        return []
    return [
        (
            f"{choice.budget_gb:g} GB of {MEMORY[choice.spot.on_device]}",
            str(choice.spot.target),
            str(choice.spot.tile_px),
            str(choice.spot.batch),
            significant(choice.spot.throughput_mpix_s),
            gigabytes(choice.spot.memory_mb),
            decibel(choice.spot.psnr_db),
        )
        for group in groups(spots(run))
        for choice in choices(group)
    ]


def budget_md(run: Run) -> list[str]:
    """The rows as a table in Markdown, with a sentence before it."""
    rows = budget_rows(run)
    if not rows:
        return []
    rule = [":--", ":--", *["--:"] * (len(HEADS) - 2)]
    cells = [list(HEADS), rule, *([escaped(cell) for cell in row] for row in rows)]
    intro = (
        "Fastest within a memory budget, on a picture much larger than a tile (budgets that change nothing left out):"
    )
    return [intro, "", *(f"| {' | '.join(line)} |" for line in cells), ""]
