"""Measured tables in docs/: each stands between a pair of marks, and is written there by what measured it."""

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def fill(document: Path, title: str, text: str) -> None:
    """Put ``text`` between the marks of ``title``.

    Raises:
        ValueError: the document has no such marks.
    """
    begin, end = f"<!-- {title}: begin -->", f"<!-- {title}: end -->"
    before, opened, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{document} has no lines {begin} and {end} to write between")
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
