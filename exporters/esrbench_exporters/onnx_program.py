"""The call of torch's ONNX exporter, and what it is given. Imports torch."""

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator

import onnx_ir
import torch

from esrbench.artifact import Interface
from esrbench.errors import ExportError
from esrbench.exporter import ExportOptions, Model
from esrbench.model import network, plain_convolutions
from esrbench.target import Precision
from esrbench_exporters.onnx_names import DIMENSIONS, VALUES
from esrbench_exporters.picture_network import PictureNetwork

EXAMPLE = (2, 16, 16)
"""(N, H, W): no side is 1, which torch.export would take for a constant; 4 divides both sides."""


def traced(model: Model, options: ExportOptions, opset: int) -> onnx_ir.Model:
    """``model`` as torch's exporter writes it, in memory.

    Raises:
        ExportError: it made nothing, with what it said.
    """
    given, made = VALUES[options.io]
    with _quiet() as said, _frozen():
        program = torch.onnx.export(
            _network(model, options),
            (_example(model, options),),
            dynamo=True,
            dynamic_shapes=None if options.shape else (DIMENSIONS[options.io],),
            input_names=[given],
            output_names=[made],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"torch's ONNX exporter made nothing: {said.getvalue().strip()}")
    return program.model


def _network(model: Model, options: ExportOptions) -> torch.nn.Module:
    dtype = _dtype(options)
    plain = plain_convolutions(network(model)).to(dtype)
    if options.io is Interface.FLOAT:
        return plain
    return PictureNetwork(plain, dtype, scale=model.spec.scale, multiple=model.spec.unshuffle).eval()


def _example(model: Model, options: ExportOptions) -> torch.Tensor:
    count, height, width = options.shape or EXAMPLE
    if options.io is Interface.IMAGE:
        return torch.zeros(count, height, width, model.spec.in_channels, dtype=torch.uint8)
    return torch.zeros(count, model.spec.in_channels, height, width, dtype=_dtype(options))


def _dtype(options: ExportOptions) -> torch.dtype:
    return torch.float16 if options.precision is Precision.FP16 else torch.float32


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep what torch's exporter and its converter print, log below errors and warn of off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels, said = [logger.level for logger in loggers], io.StringIO()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=r"(torch|onnxscript|copyreg)")
            yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _frozen() -> Iterator[None]:
    """Leave what is there already, such as torch itself, out of each search for cycles, of which tracing causes many.

    Measured with realesrgan-x4plus, torch 2.13: 25.0 s of CPU time instead of 27.5, and no more memory.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
