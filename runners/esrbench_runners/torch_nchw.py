"""Real-ESRGAN as its own script runs it: the baseline that every other target is an improvement on.

What that does (``inference_realesrgan.py`` and ``realesrgan/utils.py`` of github.com/xinntao/Real-ESRGAN): eager,
``no_grad``, one tile at a time; floats go to the device, ``.half()`` there unless ``--fp32`` was given, and floats come
back; neither channels_last nor cuDNN's benchmark. Its planes have the strides of an image, yet torch convolves them as
NCHW: it takes a batch of one, made by ``unsqueeze``, for contiguous (tried: the outputs are).
"""

from typing import TYPE_CHECKING, ClassVar

from esrbench.runner import LoadOptions, Session
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target
from esrbench_runners.torch_eager import TorchRunner

if TYPE_CHECKING:
    import torch


class TorchNchwRunner(TorchRunner):
    """As upstream does it; its ``--fp32`` on Ampere or newer is ``cuda:tf32``, which is torch's default for cuDNN."""

    name: ClassVar[str] = "torch-nchw"
    on_cuda_worth_trying: ClassVar[tuple[Settings, ...]] = (DEFAULT,)
    on_cpu = (Precision.FP32,)
    on_cuda = (Precision.FP32, Precision.TF32, Precision.FP16)
    benchmark = False

    def session(self, network: "torch.nn.Module", target: Target, options: LoadOptions) -> Session:
        """One tile at a time, without graphs, pinned memory or overlap."""
        from esrbench_runners.nchw_session import NchwSession  # noqa: PLC0415

        return NchwSession(network, target)
