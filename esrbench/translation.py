"""Third-party errors become esrbench's own where they enter."""

from collections.abc import Iterator
from contextlib import contextmanager

from esrbench.errors import EsrbenchError, OutOfMemoryError

MEMORY_SIGNS = (
    "out of memory",  # torch on CUDA, CUDA itself
    "can't allocate memory",  # torch on the CPU
    "not enough memory",  # torch on the CPU, Windows
    "failed to allocate memory",  # onnxruntime's arena
    "bad_alloc",  # anything in C++, OpenVINO and onnxruntime among them
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "device_allocation_failed",  # cuDNN 9
)
"""Runtimes have no exception of their own for this; their messages, in lower case."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate what a runtime raises inside; ``doing`` such as ``"onnxruntime: loading x.onnx"`` begins the message.

    Raises:
        OutOfMemoryError: memory ran out.
        EsrbenchError: anything else that the runtime raised.
    """
    try:
        yield
    except EsrbenchError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:500] or type(error).__name__
        ran_out = isinstance(error, MemoryError) or any(sign in message.lower() for sign in MEMORY_SIGNS)
        kind = OutOfMemoryError if ran_out else EsrbenchError
        raise kind(f"{doing} failed: {message}") from error
