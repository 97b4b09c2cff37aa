"""Make standard streams survive any text and any reader.

- A character that the terminal's encoding has not becomes ``?``: an answer must not end in an error.
- Output that nobody takes (``| head -1``, ``>&-``, a full disk) ends no work: the first failure is remembered, and
  :func:`output_failure` tells it at the end.
"""

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Descriptor(io.FileIO):
    """Accept every write; after a failure, discard what follows."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.failure is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                self.failure = error
        return len(memoryview(data))


_descriptors: dict[int, _Descriptor] = {}


def open_them() -> None:
    """Replace standard output and standard error by robust streams.

    Streams that a test put there stay. A standard stream that was closed is opened on the null device, for reading:
    else the next file that is opened would get its number, and what is printed would land there.
    """
    for number in range(3):
        _occupy(number)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (a descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(1, sys.stdout.encoding if sys.stdout else "utf-8")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2, sys.stderr.encoding if sys.stderr else "utf-8")


def output_failure() -> OSError | None:
    """Return the first failure to write standard output."""
    sys.stdout.flush()
    return _descriptors[1].failure if 1 in _descriptors else None


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDONLY)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)


def _stream(number: int, encoding: str) -> io.TextIOWrapper:
    descriptor = _descriptors[number] = _Descriptor(number, "wb", closefd=False)
    buffered = io.BufferedWriter(descriptor)
    lines = number == 2 or descriptor.isatty()
    return io.TextIOWrapper(buffered, encoding=encoding, errors="replace", line_buffering=lines)
