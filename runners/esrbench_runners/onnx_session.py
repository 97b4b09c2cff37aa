"""ONNX Runtime, on the CPU and on CUDA."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.artifact import ONNX, Format, Interface, LocatedArtifact
from esrbench.availability import each, library, refused, require, unless_refused, usable
from esrbench.cuda_driver import device_names
from esrbench.errors import EsrbenchError, PlacementError
from esrbench.layout import to_planes, to_tiles
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.settings import Settings
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners import onnx_cpu, onnx_cuda
from esrbench_runners.onnx_cuda import DeviceTensors
from esrbench_runners.onnx_kernels import operations, refuse_float_convolutions

_PRECISIONS = {np.float16: Precision.FP16, np.float32: Precision.FP32}

ERRORS_ONLY = 3
"""onnxruntime's severity scale: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal."""


class OnnxruntimeRunner(Runner):
    """ONNX Runtime. No fp16 on the CPU: it would run as fp32 with casts around it, and prove nothing."""

    name: ClassVar[str] = "onnxruntime"
    accepts: ClassVar[frozenset[Format]] = frozenset({ONNX})

    _CPU = (Precision.FP32, Precision.INT8)
    _CUDA = (Precision.FP32, Precision.TF32, Precision.FP16)

    def targets(self) -> Sequence[Availability]:
        """The CPU and every CUDA device."""
        every = (*each(self.name, "cpu", self._CPU), *each(self.name, "cuda", self._CUDA))
        return unless_refused(every, lambda: [*self._found("cpu"), *self._found("cuda")])

    def artifact_precision(self, target: Target) -> Precision:
        """As measured: an ONNX graph holds its types; TF32 has its place in single-precision ones."""
        return Precision.FP32 if target.precision is Precision.TF32 else target.precision

    def candidates(self, target: Target) -> Sequence[Settings]:
        """What is worth trying on the CPU and on CUDA."""
        return onnx_cuda.CANDIDATES if target.device_kind == "cuda" else onnx_cpu.CANDIDATES

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """A session whose every node is on the target's provider."""
        require(target, self._found(target.device_kind))
        return OnnxSession(library("onnxruntime", "esrbench[onnxruntime]"), artifact, target, options)

    def load_for_proof(self, artifact: LocatedArtifact, options: LoadOptions) -> Session:
        """On the CPU, where a half-precision graph runs too, if mostly in single precision: the placement tells."""
        target = Target.of(self.name, "cpu", artifact.artifact.precision)
        return OnnxSession(library("onnxruntime", "esrbench[onnxruntime]"), artifact, target, options)

    def _found(self, device_kind: str) -> Sequence[Availability]:
        runtime = library("onnxruntime", "esrbench[onnxruntime]")
        if device_kind == "cuda":
            return self._found_cuda(runtime)
        return usable(each(self.name, "cpu", self._CPU), cpu_name(), DeviceType.CPU)

    def _found_cuda(self, runtime: Any) -> Sequence[Availability]:
        every = each(self.name, "cuda", self._CUDA)
        if onnx_cuda.PROVIDER not in runtime.get_available_providers():
            remedy = "pip uninstall onnxruntime, then pip install 'esrbench[onnxruntime]' on Linux or Windows x86-64"
            return refused(every, "this onnxruntime is built without CUDA", remedy)
        names = device_names()
        if not names:
            # onnxruntime lists its CUDA provider all the same, so the driver is asked instead.
            return refused(every, "no CUDA device is found", "check nvidia-smi and CUDA_VISIBLE_DEVICES")
        return [
            entry
            for index, name in enumerate(names)
            for entry in usable(each(self.name, f"cuda{index}", self._CUDA), name, DeviceType.GPU)
        ]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An execution provider and what it is asked for."""

    name: str
    options: dict[str, str]
    graph: bool = False  # runs are recorded once a shape and replayed

    @classmethod
    def of(cls, target: Target, settings: Settings) -> Self:
        """Onnxruntime's own for the target's device."""
        if target.device_kind == "cpu":
            return cls(name=onnx_cpu.PROVIDER, options={})
        options = onnx_cuda.options(settings, target.precision, target.device_index)
        return cls(name=onnx_cuda.PROVIDER, options=options, graph=options["enable_cuda_graph"] == "1")


class OnnxSession(Session):
    """An inference session with one execution provider and no other to fall back to.

    ``facts`` is what its maker knows of it, for the placement.
    """

    def __init__(
        self,
        runtime: Any,
        artifact: LocatedArtifact,
        target: Target,
        options: LoadOptions,
        provider: Provider | None = None,
    ) -> None:
        self._runtime = runtime
        self._target = target
        self._threads = options.threads
        self._settings = options.settings
        self.facts: Mapping[str, str] = {}
        self._asked = provider or Provider.of(target, options.settings)
        self._provider = self._asked.name
        if target.device_kind == "cuda" and hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()  # finds the CUDA libraries of torch's wheels
        self._integer = artifact.artifact.precision is Precision.INT8
        self._kernels: dict[str, int] = {}
        with translated(f"{target}: loading {artifact.path()}"):
            path = str(artifact.path())
            self._session = self._open_integers(path) if self._integer else self._open(path)
        self._input = self._session.get_inputs()[0]
        self._dtype = np.float16 if self._input.type == "tensor(float16)" else np.float32
        self._artifact = artifact.artifact
        self._refuse_another_shape(options.tile_shape)
        scale, on_gpu = self._artifact.spec.scale, target.device_kind == "cuda"
        self._tensors = (
            DeviceTensors(runtime, self._session, target.device_index, scale, graph=self._asked.graph)
            if on_gpu and self._artifact.io is Interface.FLOAT
            else None
        )
        self.placement()

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch; copies to and from the device are part of it. A graph of pictures takes bytes alone."""
        count, height, width, _ = tiles.shape
        self._refuse_another_shape((count, height, width))
        if self._artifact.io is Interface.IMAGE:
            return self._upscaled_pictures(tiles)
        with translated(f"{self._target}: a batch of shape {tiles.shape}"):
            planes = to_planes(tiles).astype(self._dtype, copy=False)
            return to_tiles(self._upscaled(planes), tiles)

    def _upscaled(self, planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._tensors is not None:
            return self._tensors.run(planes)
        upscaled: npt.NDArray[Any] = self._session.run(None, {self._input.name: planes})[0]
        return upscaled

    def _upscaled_pictures(self, tiles: Tiles) -> Tiles:
        """Bytes in, bytes out: what else a tile has to become is in the graph."""
        if tiles.dtype != np.uint8:
            raise EsrbenchError(
                f"{self._target}: {self._artifact.files[0].name} takes pictures of bytes, it was given {tiles.dtype}; "
                "give uint8 tiles, or export it with --io float"
            )
        with translated(f"{self._target}: a batch of shape {tiles.shape}"):
            upscaled: Tiles = self._session.run(None, {self._input.name: tiles})[0]
            return upscaled

    def _refuse_another_shape(self, shape: tuple[int, int, int]) -> None:
        fixed = self._artifact.shape
        if fixed not in (None, shape):
            name, only, given = self._artifact.files[0].name, "×".join(map(str, fixed)), "×".join(map(str, shape))
            raise EsrbenchError(
                f"{self._target}: {name} takes {only} (N×H×W) alone, it was given {given}; export it without --shape"
            )

    def placement(self) -> Placement:
        """Nodes per provider, and the type that they compute in."""
        nodes = self._nodes()
        elsewhere = {provider: count for provider, count in nodes.items() if provider != self._provider}
        if elsewhere or self._session.get_providers()[0] != self._provider:
            found = nodes or self._session.get_providers()
            raise PlacementError(f"{self._target}: {self._provider} was asked for, the session has {found}")
        planes = self._artifact.io is Interface.FLOAT and not self._integer
        precision = _PRECISIONS[self._dtype] if planes else self._artifact.precision
        tf32 = self._target.precision is Precision.TF32
        if precision is not (Precision.FP32 if tf32 else self._target.precision):
            raise PlacementError(f"{self._target}: the artifact is {precision.value}", "export it again")
        if self._integer:
            refuse_float_convolutions(self._target, self._artifact, self._kernels)
        on_gpu = self._target.device_kind == "cuda"
        self._check_options()
        return Placement(
            device_name=device_names()[self._target.device_index] if on_gpu else cpu_name(),
            device_type=DeviceType.GPU if on_gpu else DeviceType.CPU,
            provider=self._provider,
            precision=Precision.TF32 if tf32 else self._arithmetic(precision),
            nodes=self._kernels or nodes,
            options=self._options() | dict(self.facts),
            versions={"onnxruntime": self._runtime.__version__},
        )

    def close(self) -> None:
        """Free the session, after the tensors that lie in its memory."""
        self._tensors = None
        del self._session

    def _open_integers(self, path: str) -> Any:
        """A session and its kernels: onnxruntime makes those of integers after it assigned nodes to providers."""
        with tempfile.TemporaryDirectory() as scratch:
            optimized = Path(scratch) / "optimized.onnx"
            session = self._open(path, optimized)
            self._kernels = operations(optimized)
        return session

    def _open(self, path: str, optimized: Path | None = None) -> Any:
        settings = self._runtime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = ERRORS_ONLY
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if optimized is not None:
            settings.optimized_model_filepath = str(optimized)
        if self._target.device_kind == "cpu":
            onnx_cpu.apply(self._settings, settings, self._runtime)
            return self._runtime.InferenceSession(path, settings, providers=[self._provider], enable_fallback=False)
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        provider = (self._provider, self._asked.options)
        try:
            # Its Python layer would meet an error of CUDA with a second session on the CPU, and hide the error.
            return self._runtime.InferenceSession(path, settings, providers=[provider], enable_fallback=False)
        except Exception as error:
            if "fallback to CPU EP has been explicitly disabled" not in str(error):
                raise
            name = self._provider.removesuffix("ExecutionProvider")
            raise PlacementError(
                f"{self._target}: {name} was asked for, onnxruntime would run on the CPU",
                "install the CUDA and cuDNN libraries that it was built for; its log names the missing one",
            ) from error

    def _nodes(self) -> dict[str, int]:
        """Provider → graph nodes; empty with an onnxruntime that cannot tell."""
        return dict(Counter(provider for provider, _ in self._assigned()))

    def _arithmetic(self, stored: Precision) -> Precision:
        """What is computed in: halves on the CPU only where onnxruntime has put no cast between the nodes of the file.

        It puts one before and after each node that it has no such kernel for, and then takes out the pairs between two
        of them; convolutions have such a kernel on ARM alone. What it adds has no name.
        """
        if stored is not Precision.FP16 or self._target.device_kind != "cpu":
            return stored
        nodes = [node for _, node in self._assigned()]
        cast = not nodes or any(node.op_type == "Cast" and not node.name for node in nodes)
        return Precision.FP32 if cast else stored

    def _assigned(self) -> list[tuple[str, Any]]:
        """Each node with its provider; none with an onnxruntime that cannot tell."""
        if not hasattr(self._session, "get_provider_graph_assignment_info"):
            return []
        parts = self._session.get_provider_graph_assignment_info()
        return [(part.ep_name, node) for part in parts for node in part.get_nodes()]

    def _check_options(self) -> None:
        """Refuse another arithmetic than was asked for: TF32 in the place of IEEE single precision above all."""
        difference = onnx_cuda.unlike(self._asked.options, self._found_options())
        if difference:
            raise PlacementError(f"{self._target}: {difference}")

    def _options(self) -> dict[str, str]:
        """In force: as the session tells them, and the session's own as they were set."""
        found = self._found_options()
        provider = {name: str(found.get(name, "")) for name in self._asked.options if name != "device_id"}
        own = self._settings.values if self._target.device_kind == "cpu" else {}
        return {"intra_op_num_threads": str(self._threads), **own, **provider}

    def _found_options(self) -> Mapping[str, object]:
        options: Mapping[str, object] = self._session.get_provider_options().get(self._provider, {})
        return options
