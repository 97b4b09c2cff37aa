"""Third-party errors become esrbench's own where they enter."""

from collections.abc import Iterator
from contextlib import contextmanager

from esrbench.errors import EsrbenchError, OutOfMemoryError

MEMORY_SIGNS = (
    "out of memory",  # torch on CUDA, CUDA itself
    "out_of_memory",  # CUDA_ERROR_OUT_OF_MEMORY, dnnl_out_of_memory
    "out_of_device_memory",  # VK_ERROR_OUT_OF_DEVICE_MEMORY
    "out_of_host_memory",  # VK_ERROR_OUT_OF_HOST_MEMORY
    "outofmemory",  # TensorRT's "Error Code 2: OutOfMemory", torch.OutOfMemoryError by its name
    "can't allocate memory",  # torch on the CPU
    "cannot allocate memory",  # ENOMEM in words
    "not enough memory",  # torch on the CPU, Windows
    "failed to allocate",  # "… memory for requested buffer": onnxruntime's arena; "… 9 bytes of memory": OpenVINO
    "smaller than requested bytes",  # onnxruntime's arena, at its own limit
    "bad_alloc",  # anything in C++, OpenVINO and onnxruntime among them
    "bad allocation",  # the same, by Microsoft's compiler
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "device_allocation_failed",  # cuDNN 9
    "vkallocatememory failed",  # ncnn's log
)
"""Runtimes have no exception of their own for this; their messages, in lower case. Those of the CPU were provoked under
``ulimit -v``: torch, onnxruntime, OpenVINO (either of two) and ncnn (a return code)."""


def names_memory(message: str) -> bool:
    """Whether a runtime's message says that memory ran out."""
    lower = message.lower()
    return any(sign in lower for sign in MEMORY_SIGNS)


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
        lines = [" ".join(line.split()) for line in str(error).splitlines()]
        named = next((line for line in lines if names_memory(line)), None)  # TorchScript puts its own code before it
        message = (named or " ".join(line for line in lines if line))[:500] or type(error).__name__
        ran_out = isinstance(error, MemoryError) or named is not None
        kind = OutOfMemoryError if ran_out else EsrbenchError
        raise kind(f"{doing} failed: {message}") from error
