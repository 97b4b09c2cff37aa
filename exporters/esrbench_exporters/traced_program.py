"""A model as a ``torch.export`` program. Imports torch."""

import torch
import torch.fx.experimental._config as shape_config
from torch.export import Dim, ExportedProgram

from esrbench.exporter import ExportOptions, Model
from esrbench.model import network, plain_convolutions
from esrbench.target import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}

EXAMPLE = (2, 16, 16)
"""(N, H, W); 4 divides both sides."""

MAX_BATCH, MAX_SIDE_PX = 1024, 1 << 16
"""Upper ends that a range must have."""


def traced(model: Model, options: ExportOptions) -> ExportedProgram:
    """The network as plain convolutions, its weights in the precision asked for; any shape, or the one asked for."""
    count, height, width = options.shape or EXAMPLE
    example = torch.zeros(count, model.spec.in_channels, height, width, dtype=DTYPES[options.precision])
    net = plain_convolutions(network(model)).to(DTYPES[options.precision])
    # Else a side of 1, here or behind a folding convolution, is taken for a constant and refused at run time.
    with shape_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]  # made at run time
        return torch.export.export(
            net, (example,), dynamic_shapes=None if options.shape else (_any_shape(model.spec.unshuffle),)
        )


def _any_shape(smallest_px: int) -> dict[int, Dim]:
    return {
        0: Dim("batch", min=1, max=MAX_BATCH),
        2: Dim("height", min=smallest_px, max=MAX_SIDE_PX),
        3: Dim("width", min=smallest_px, max=MAX_SIDE_PX),
    }
