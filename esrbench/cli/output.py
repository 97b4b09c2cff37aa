"""The one place where text enters a terminal without rich: messages, paths, and documents for programs.

Tables and progress go through :mod:`esrbench.cli.console`, which applies the same rule.
"""

import sys

from esrbench.wording import is_obeyed, visible


def say(text: object, *, error: bool = False) -> None:
    """Print one message; control characters of records and files are shown, not obeyed."""
    print(visible(str(text)), file=sys.stderr if error else sys.stdout, flush=True)


def say_json(document: bytes) -> None:
    """Print a JSON document; what a terminal would obey or cannot show is an escape in it, which means the same."""
    text = document.decode().rstrip()
    in_unicode = sys.stdout.encoding.lower().startswith("utf")
    print("".join(sign if (in_unicode or sign.isascii()) and not is_obeyed(sign) else _escaped(sign) for sign in text))


def _escaped(sign: str) -> str:
    """Escape a character as JSON does: one unit of 16 bits, or a pair (RFC 8259, section 7)."""
    units = sign.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
