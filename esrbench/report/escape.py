"""Escape text of records for Markdown and for spreadsheets."""

import html
import re

from esrbench.wording import visible

_SPLIT = "&#8203;"
"""A zero-width space: GitHub links no address and calls no one where it stands in between; a backslash would not stop
that, as links are found after escapes are gone."""

_MARKS = re.compile(r"[\\`*_\[\]|~$#]")
_LINKED = re.compile(r"(?<![\w])@(?=\w)|@(?=[\w-]+\.\w)|:(?=//)|\b(?:www|GH|gh|mailto|xmpp)(?=[.:-])|(?<=#)(?=\d)")
"""A mention, a mail address, an address on the web, and numbers of issues (GFM, section 6.9, and GitHub's own)."""

_LEADING = re.compile(r"^(?:[-+](?=[\s-]|$)|=|\d+(?=[.)](?:\s|$)))")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet takes a cell that begins so for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def escaped(text: str) -> str:
    """Escape one line for Markdown, its HTML and its tables."""
    line = html.escape(visible(" ".join(text.split())), quote=False)
    line = _LINKED.sub(lambda found: f"{found[0]}{_SPLIT}", _MARKS.sub(r"\\\g<0>", line))
    return _LEADING.sub(lambda found: rf"\{found[0]}" if not found[0].isdigit() else f"{found[0]}{_SPLIT}", line)


def code(text: str) -> str:
    """Format text as a code span, also in a table."""
    return f"`{visible(' '.join(text.split())).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def marked_up(text: str) -> str:
    """Escape a sentence; names in backticks become code."""
    parts = text.split("`")
    return "".join(code(part) if place % 2 else _inner(part) for place, part in enumerate(parts))


def cell(text: str) -> str:
    """Format text as a CSV cell that is no formula."""
    shown = visible(text)
    return f"'{shown}" if text.lstrip(" ").startswith(_FORMULA) else shown


def _inner(part: str) -> str:
    """Escape part of a sentence, and keep its outer spaces."""
    start, end = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :] if part.strip() else ""
    return f"{' ' if start else ''}{escaped(part)}{' ' if end else ''}"
