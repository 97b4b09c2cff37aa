"""Which values a network's convolutions meet when it draws photos: what an int8 file's steps are made from."""

import hashlib

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from esrbench import images
from esrbench.exporter import Model
from esrbench.model import network, plain_convolutions

PHOTOS = ("chelsea", "coffee", "hubble", "motorcycle", "rocket")
"""None of them is what suites measure or a proof draws (astronaut): a picture must not be judged by its own range."""

CROPS = 2  # of each photo
CROP_PX = 48  # of the picture that the body works on
LARGEST_PX = 192  # of a crop, for networks that fold their picture; 32 divides it, no photo is smaller

Pictures = npt.NDArray[np.float32]
"""``(N, C, H, W)`` in [0, 1]."""


class Span(msgspec.Struct, frozen=True):
    """Lowest and highest value of a tensor; 0 lies between, as a convolution pads with it."""

    low: float
    high: float


class ConvolutionSpans(msgspec.Struct, frozen=True, kw_only=True):
    """What one convolution was given and what it made."""

    given: Span
    made: Span


def pictures(model: Model) -> Pictures:
    """Crops of :data:`PHOTOS` for ``model``: the same ones each time; channels beyond RGB repeat."""
    side = min(CROP_PX * model.spec.unshuffle, LARGEST_PX)
    crops = [_crop(images.sample(name), n, side) for name in PHOTOS for n in range(CROPS)]
    channels = np.arange(model.spec.in_channels) % 3
    chosen = np.stack(crops)[..., channels].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(chosen.transpose(0, 3, 1, 2))


def identity(given: Pictures) -> str:
    """The sha256 of these very values."""
    return hashlib.sha256(repr(given.shape).encode() + given.tobytes()).hexdigest()


def convolution_spans(model: Model, given: Pictures) -> tuple[ConvolutionSpans, ...]:
    """Of every convolution, in the order in which they run, over all of ``given``; one picture is drawn at a time."""
    net = plain_convolutions(network(model))
    rows: list[tuple[float, ...]] = []

    def note(_module: torch.nn.Module, taken: tuple[torch.Tensor], made: torch.Tensor) -> None:
        rows.append(tuple(float(bound) for tensor in (taken[0], made) for bound in tensor.aminmax()))

    hooks = [module.register_forward_hook(note) for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    with torch.inference_mode():
        for picture in given:
            net(torch.from_numpy(picture[None]))
    noted = np.array(rows, np.float64).reshape(len(given), len(hooks), 4)
    lows, highs = np.minimum(noted.min(axis=0), 0), np.maximum(noted.max(axis=0), 0)
    return tuple(
        ConvolutionSpans(given=Span(low[0], high[1]), made=Span(low[2], high[3]))
        for low, high in zip(lows.tolist(), highs.tolist(), strict=True)
    )


def _crop(photo: images.Pixels, number: int, side: int) -> images.Pixels:
    """One of :data:`CROPS` squares along the diagonal."""
    top, left = ((extent - side) * (number + 1) // (CROPS + 1) for extent in photo.shape[:2])
    return photo[top : top + side, left : left + side]
