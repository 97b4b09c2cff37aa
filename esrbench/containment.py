"""Contain the code of plug-ins that runs in this process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from esrbench.errors import EsrbenchError


@contextmanager
def contained() -> Iterator[None]:
    """Turn whatever a plug-in's code raises into one error.

    What it prints goes to standard error.

    Raises:
        EsrbenchError: as the plug-in raised it, or with the type and first line of what it raised.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (EsrbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit among others
        raise EsrbenchError(_described(error)) from error


def _described(error: BaseException) -> str:
    """Describe an error, whose text may fail, in one line."""
    try:
        text = str(error)
    except Exception:  # its class may be the plug-in's
        text = ""
    return f"{type(error).__name__}: {next((line for line in text.splitlines() if line.strip()), 'no message')}"
