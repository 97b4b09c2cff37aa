"""Print messages, paths and JSON documents to the terminal.

Tables and progress go through :mod:`esrbench.cli.console`, which applies the same rule.
"""

import sys

from esrbench.wording import is_obeyed, visible


def say(text: object, *, error: bool = False) -> None:
    """Print one message, with control characters made visible."""
    print(visible(str(text)), file=sys.stderr if error else sys.stdout, flush=True)


def say_json(document: bytes) -> None:
    """Print a JSON document, with control characters as JSON escapes.

    So are characters that the terminal's encoding lacks; the document means the same.
    """
    text = document.decode().rstrip()
    in_unicode = sys.stdout.encoding.lower().startswith("utf")
    print("".join(sign if (in_unicode or sign.isascii()) and not is_obeyed(sign) else _escaped(sign) for sign in text))


def _escaped(sign: str) -> str:
    """Escape a character as JSON does (RFC 8259, section 7)."""
    units = sign.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
