"""Check whether a network can be computed in fp16.

Its largest value is noted, and it is drawn with every value rounded. Imports torch. A CPU proves fp16 files in fp32
arithmetic, which has neither fp16's ceiling nor its coarse steps near zero.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from esrbench import fidelity
from esrbench.artifact import FP16_MAX, HalfRange
from esrbench.errors import ExportError
from esrbench.exporter import Model
from esrbench.model import network
from esrbench.target import Precision

SIDE_PX = 16  # of a picture; 4 divides it, as networks that fold their picture need

See = Callable[[Tensor], Tensor]
Floats = npt.NDArray[np.float32]


def measure(model: Model, photos: Floats) -> HalfRange:
    """Draw pictures with and without rounding to fp16.

    The pictures are ``photos``, ``(N, H, W, C)`` float32 in [0, 1], and :func:`extremes`.
    """
    noted = _Largest()
    plain, rounded = _watched(network(model), noted), _watched(_rounded_weights(network(model)), _round)
    errors = []
    with torch.inference_mode():
        for pictures in (photos, extremes(model.spec.in_channels)):
            planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
            off = (rounded(planes) - plain(planes)).double().square().nan_to_num(1.0, 1.0, 1.0)
            errors.append(float(off.mean()))
    return HalfRange(largest_activation=float(noted.value), rounded_mse=max(errors))


def check(found: HalfRange, name: str) -> None:
    """Refuse a network that fp16 cannot hold; ``name`` its file.

    Raises:
        ExportError: it overflows, or rounding to fp16 draws another picture.
    """
    remedy = "export --precision fp32, or bf16 where the format has it"
    if not found.largest_activation <= FP16_MAX:
        raise ExportError(
            f"{name}: activations reach {found.largest_activation:.3g}, fp16 holds {FP16_MAX:g} at most: it would draw "
            f"NaN wherever the arithmetic is fp16; {remedy}"
        )
    psnr, gate = fidelity.psnr_db(found.rounded_mse), fidelity.gate_db(Precision.FP16)
    if not psnr >= gate:
        raise ExportError(
            f"{name}: with every value rounded to fp16 the network draws another picture: {psnr:.1f} dB, fp16 must "
            f"reach {gate:g} dB; {remedy}"
        )


def extremes(channels: int) -> Floats:
    """Make pictures that drive activations far, such as plain white.

    Black, white, each channel alone or missing, a chequerboard, noise: ``(N, SIDE_PX, SIDE_PX, channels)``.
    """
    alone = np.eye(channels, dtype=np.float32)
    colours = np.concatenate([np.zeros((1, channels)), np.ones((1, channels)), alone, 1 - alone])
    flat = np.broadcast_to(colours[:, None, None, :], (len(colours), SIDE_PX, SIDE_PX, channels))
    board = np.broadcast_to((np.indices((SIDE_PX, SIDE_PX)).sum(0) % 2)[None, :, :, None], flat[:1].shape)
    noise = np.random.default_rng(0).integers(0, 2, flat[:1].shape)
    return np.concatenate([flat, board, noise]).astype(np.float32)


class _Largest:
    """Keep the largest absolute value seen, or NaN."""

    def __init__(self) -> None:
        self.value = torch.zeros(())

    def __call__(self, values: Tensor) -> Tensor:
        low, high = values.aminmax()
        self.value = torch.maximum(self.value, torch.maximum(-low, high))
        return values


def _round(values: Tensor) -> Tensor:
    return values.half().float()


def _rounded_weights(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        parameter.data = _round(parameter.data)
    return net


def _watched(net: nn.Module, see: See) -> nn.Module:
    """Pass every layer's input and output through ``see``.

    Sums between layers are the input of the next one.
    """
    for module in net.modules():
        module.register_forward_pre_hook(lambda _module, given: tuple(map(see, given)))
        module.register_forward_hook(lambda _module, _given, made: see(made))
    return net
