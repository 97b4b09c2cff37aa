"""ONNX Runtime's CUDA provider: its options, and tensors that stay on the device between runs.

Nothing here loads onnxruntime: it is handed in, so that the order of copies and runs can be tested without a device.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision

PROVIDER = "CUDAExecutionProvider"

OPTIONS = {
    "use_tf32": "0",  # an fp32 claim means IEEE; see `options` for the others
    "cudnn_conv_algo_search": "EXHAUSTIVE",  # tuned once for the one shape of a tile plan; DEFAULT is a slow fallback
    "cudnn_conv_use_max_workspace": "1",  # for older versions: cuDNN's frontend does not ask
    "prefer_nhwc": "1",  # tensor cores read channels last
    "enable_cuda_graph": "0",
    "arena_extend_strategy": "kSameAsRequested",  # no doubling: device memory means what the network needs
}
"""https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html, section "Configuration Options"."""

CANDIDATES = (
    DEFAULT,
    Settings(values={"enable_cuda_graph": "1"}),
    Settings(values={"enable_cuda_graph": "1", "prefer_nhwc": "0"}),
    Settings(values={"enable_cuda_graph": "1", "cudnn_conv_algo_search": "HEURISTIC"}),
    Settings(values={"enable_cuda_graph": "1", "cudnn_conv_use_max_workspace": "0"}),
)
"""The default, a graph, and with it the other layout, the other search or less workspace. Few, as each is planned anew
in a process of its own: seconds for 351 convolutions."""

ARITHMETIC = ("use_tf32", "trt_fp16_enable")
"""Options that decide the precision; the others decide the speed alone, and are shown as the session has them."""

Planes = npt.NDArray[np.float32] | npt.NDArray[np.float16]


def options(settings: Settings, precision: Precision, device_index: int) -> dict[str, str]:
    """The provider's options for a session.

    Without ``use_tf32`` onnxruntime leaves out cuDNN's engines for tensor cores whatever the type, those of halves too
    (``CreateCudnnFeExecutionPlan`` in its ``conv.cc``).
    """
    tf32 = "0" if precision is Precision.FP32 else "1"
    return {**settings.over(OPTIONS), "use_tf32": tf32, "device_id": str(device_index)}


class _Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of one shape of batch, at addresses that do not change."""

    binding: Any
    input: Any
    output: Any
    run_options: Any


class DeviceTensors:
    """Runs a session on tensors that lie on the device; what is copied to and fro is the batch and its picture alone.

    Each shape of batch has tensors of its own. With a CUDA graph each has a graph of its own too: it is recorded when
    the shape is first run, and later runs replay it on the same addresses
    (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html, "Using CUDA Graphs").
    onnxruntime's Python API has no page-locked host memory for this provider, so that the copies are pageable ones.
    """

    def __init__(self, runtime: Any, session: Any, device_index: int, scale: int, *, graph: bool) -> None:
        self._runtime = runtime
        self._session = session
        self._device_index = device_index
        self._scale = scale
        self._graph = graph
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self._by_shape: dict[tuple[int, ...], _Bound] = {}

    def run(self, planes: Planes) -> Planes:
        """``(N, C, H, W)`` → ``(N, 3, sH, sW)``, host to host: it is back when this returns."""
        bound = self._by_shape.get(planes.shape)
        if bound is None:
            bound = self._by_shape[planes.shape] = self._bind(planes)
        bound.input.update_inplace(planes)
        self._session.run_with_iobinding(bound.binding, bound.run_options)
        bound.binding.synchronize_outputs()
        upscaled: Planes = bound.output.numpy()
        return upscaled

    def _bind(self, planes: Planes) -> _Bound:
        count, _, height, width = planes.shape
        binding = self._session.io_binding()
        given = self._tensor(planes.shape, planes.dtype)
        wanted = self._tensor((count, 3, height * self._scale, width * self._scale), planes.dtype)
        binding.bind_ortvalue_input(self._input, given)
        binding.bind_ortvalue_output(self._output, wanted)
        run_options = self._runtime.RunOptions()
        if self._graph:
            run_options.add_run_config_entry("gpu_graph_id", str(len(self._by_shape) + 1))  # 0 would be any shape's
        return _Bound(binding=binding, input=given, output=wanted, run_options=run_options)

    def _tensor(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        make = self._runtime.OrtValue.ortvalue_from_shape_and_type
        return make(list(shape), np.dtype(dtype).type, "cuda", self._device_index)


def unlike(asked: Mapping[str, str], found: Mapping[str, object]) -> str | None:
    """The first option of the arithmetic that the session does not have as it was asked; None where all are."""
    for name in ARITHMETIC:
        if name in asked and name in found and str(found[name]) != asked[name]:
            return f"{name}={asked[name]} was asked for, the session has {found[name]}"
    return None
