"""Find impossible numbers in records."""

from collections.abc import Iterator

import msgspec

LARGEST = 1e18
"""Above a year in nanoseconds (3.2e16), an exabyte, and whatever else a record holds."""

_POSITIVE = frozenset({"peak_rss_bytes", "gflops_s", "gbytes_s"})
"""Fields that are never 0, beside times in nanoseconds: nothing that is measured takes no time or no memory."""

_SIGNED = frozenset({"exit_code", "ssim", "temperature_c", "seed"})
"""Fields that may be negative: a signal's number, a similarity, degrees Celsius, anything."""


def absurd(value: msgspec.Struct) -> Iterator[str]:
    """Name each impossible number in ``value``: ``cold_ns is 0``."""
    for name, number in _numbers(value, ""):
        if number < 0 and name not in _SIGNED:
            yield f"{name} is {max(number, -LARGEST):g}, below 0"
        elif number == 0 and (name in _POSITIVE or name.endswith("_ns")):
            yield f"{name} is 0"
        if abs(number) > LARGEST:  # an integer may have hundreds of digits, which no float takes
            yield f"{name} is beyond {LARGEST:g}"


def _numbers(value: object, name: str) -> Iterator[tuple[str, float]]:
    """Yield each number with its field's name.

    Of a row of numbers the smallest and the largest are enough.
    """
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _numbers(getattr(value, field), field)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each, name)
    elif isinstance(value, tuple) and value and all(isinstance(each, int | float) for each in value):
        yield from ((name, each) for each in {min(value), max(value)})
    elif isinstance(value, tuple):
        for each in value:
            yield from _numbers(each, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value
