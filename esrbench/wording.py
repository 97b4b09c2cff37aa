"""Format quantities and foreign text for people."""

import math
import unicodedata

NOT_MEASURED = "–"

_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls (C0, C1, DEL), formats (bidirectional marks, zero widths), lone surrogates, and line
and paragraph separators (https://www.unicode.org/reports/tr44/#General_Category_Values)."""


def is_obeyed(sign: str) -> bool:
    """Tell whether a terminal obeys a character, line ends apart."""
    return unicodedata.category(sign) in _OBEYED and sign not in "\n\t"


def visible(text: str) -> str:
    """Replace control characters by visible signs: ESC by ``␛``.

    What comes from a record, a file or a runtime passes here before a person reads it: escape sequences (ECMA-48) set
    titles and clipboards, bidirectional marks reorder what is read (CVE-2021-42574).
    """
    return text if text.isprintable() else "".join(_shown(sign) if is_obeyed(sign) else sign for sign in text)


def _shown(sign: str) -> str:
    """Return the visible sign of a control character.

    Unicode has one for C0 and DEL (block Control Pictures); the others become ``�``.
    """
    code = ord(sign)
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` to so many significant digits, never in exponent form: 0.0123, 1.23, 12.3, 1234."""
    if value is None:
        return NOT_MEASURED
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{decimals}f}"


def times(value: float | None) -> str:
    """A ratio: ``1.62×``."""
    return NOT_MEASURED if value is None else f"{_ratio(value)}×"


def interval(low: float | None, high: float | None) -> str | None:
    """The interval of a ratio, ``1.55–1.70``; None where there is none."""
    return None if low is None or high is None else f"{_ratio(low)}–{_ratio(high)}"


def change(value: float, low: float | None, high: float | None) -> str:
    """A ratio near 1 as a change: ``-5.9%``; with its interval ``-5.9% (-7.0 to -4.8)``."""
    ends = "" if low is None or high is None else f" ({(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f})"
    return f"{value - 1:+.1%}{ends}"


def decibel(value: float | None) -> str:
    """A PSNR: ``56.9``; ``exact`` where no value differs."""
    if value is None:
        return NOT_MEASURED
    return "exact" if math.isinf(value) and value > 0 else f"{value:.1f}"


def similarity(value: float | None) -> str:
    """An SSIM: ``0.9987``."""
    return NOT_MEASURED if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    """A part of all: ``99.87 %``; only what is whole is written so."""
    if value is None:
        return NOT_MEASURED
    return "100 %" if value == 1 else f"{min(math.floor(value * 10_000) / 100, 99.99):.2f} %"


def megabytes(value: float | None) -> str:
    """Memory in whole MB."""
    return NOT_MEASURED if value is None else f"{value:.0f}"


def gigabytes(value_mb: float) -> str:
    """Memory in GB, from MB: ``0.34 GB``."""
    return f"{value_mb / 1000:.2f} GB"


def seconds(value: float | None) -> str:
    """A duration in seconds: three digits, at least a millisecond."""
    return NOT_MEASURED if value is None else f"{value:.3f}" if value < 1 else significant(value)


def clipped(text: str, length: int = 90) -> str:
    """Cut text to ``length``, every character visible, the cut marked."""
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def seconds_in_words(value: float) -> str:
    """Format a duration: ``12 s``, ``2 min 5 s``."""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def counted(count: int, noun: str) -> str:
    """``1 launch``, ``2 launches``."""
    plural = f"{noun}es" if noun.endswith(("ch", "s", "sh", "x")) else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _ratio(value: float) -> str:
    if value < 0.005:
        return "<0.01"
    return f"{value:.2f}" if value < 10 else significant(value)
