"""TensorRT through ONNX Runtime: its provider's options, the engine that it builds, and a runtime of its own name."""

import ctypes
import hashlib
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from esrbench import cache
from esrbench.artifact import ONNX, Format, Interface, LocatedArtifact
from esrbench.availability import each, library, refused, require, unless_refused, usable
from esrbench.cuda_driver import device_names
from esrbench.errors import OutputError, PlacementError, UnavailableError
from esrbench.runner import Availability, DeviceType, LoadOptions, Runner, Session
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target
from esrbench_runners.onnx_session import OnnxSession, Provider

PROVIDER = "TensorrtExecutionProvider"

OPTIONS = {
    "trt_builder_optimization_level": "3",  # TensorRT's own default; 5 tries every tactic
    "trt_cuda_graph_enable": "0",
    "trt_timing_cache_enable": "0",  # else an engine's build time would depend on what was built before it
}
"""https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html, section "Configurations"."""

CANDIDATES = (
    DEFAULT,
    Settings(values={"trt_cuda_graph_enable": "1"}),
    Settings(values={"trt_builder_optimization_level": "5"}),
    Settings(values={"trt_builder_optimization_level": "5", "trt_cuda_graph_enable": "1"}),
)

NO_TF32 = "NVIDIA_TF32_OVERRIDE"
"""Set to 0, NVIDIA's libraries never use TF32; TensorRT does by default, and the provider has no option for it. See
https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/accuracy-considerations.html."""

BUILD_NOTE = "build_s.txt"
"""Beside an engine: the seconds in which a session was made that had to build it."""

_LIBRARY = re.compile(rb"libnvinfer\.so\.[0-9]+|nvinfer_[0-9]+\.dll")


class OnnxruntimeTensorrtRunner(Runner):
    """ONNX Runtime's TensorRT provider, and no other beside it. At fp16 the graph itself is in halves."""

    name: ClassVar[str] = "onnxruntime-tensorrt"
    accepts: ClassVar[frozenset[Format]] = frozenset({ONNX})
    on_request: ClassVar[bool] = True

    _PRECISIONS = (Precision.FP32, Precision.TF32, Precision.FP16)

    def targets(self) -> Sequence[Availability]:
        """Every CUDA device, where TensorRT's libraries are found too."""
        return unless_refused(each(self.name, "cuda", self._PRECISIONS), self._found)

    def artifact_precision(self, target: Target) -> Precision:
        """As measured; TF32 has its place in single-precision graphs."""
        return Precision.FP32 if target.precision is Precision.TF32 else target.precision

    def candidates(self, target: Target) -> Sequence[Settings]:
        """With and without a CUDA graph, at two levels of effort."""
        return CANDIDATES

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """A session whose every node is in a TensorRT engine, built now or taken from the cache."""
        self._require(target)
        if artifact.artifact.io is Interface.IMAGE:
            name = artifact.artifact.files[0].name
            raise UnavailableError(f"{target} feeds planes, {name} takes pictures", "export it with --io float")
        runtime = library("onnxruntime", "esrbench[onnxruntime]")
        return loaded(runtime, artifact, target, options, cache.folder() / "tensorrt")

    def _require(self, target: Target) -> None:
        """TF32 is settled first, as asking whether TensorRT is there loads its libraries; a refusal changes nothing."""
        before = os.environ.get(NO_TF32)
        set_tf32(target)
        try:
            require(target, self._found())
        except UnavailableError:
            if before is None:
                os.environ.pop(NO_TF32, None)
            raise

    def _found(self) -> Sequence[Availability]:
        runtime = library("onnxruntime", "esrbench[onnxruntime]")
        every = each(self.name, "cuda", self._PRECISIONS)
        if PROVIDER not in runtime.get_available_providers():
            remedy = "pip uninstall onnxruntime, then pip install 'esrbench[onnxruntime]' on Linux or Windows x86-64"
            return refused(every, "this onnxruntime is built without TensorRT", remedy)
        names, missing = device_names(), missing_library(runtime)
        reasons = [*([] if names else ["no CUDA device is found"]), *([missing] if missing else [])]
        if reasons:
            remedies = [] if names else ["check nvidia-smi and CUDA_VISIBLE_DEVICES"]
            remedies += [f"pip install '{tensorrt_requirement(runtime)}'"] if missing else []
            return refused(every, "; ".join(reasons), "; ".join(remedies))
        return [
            entry
            for index, name in enumerate(names)
            for entry in usable(each(self.name, f"cuda{index}", self._PRECISIONS), name, DeviceType.GPU)
        ]


def loaded(runtime: Any, artifact: LocatedArtifact, target: Target, options: LoadOptions, engines: Path) -> OnnxSession:
    """A session, and what it says of its engine: cached or built, and in how many seconds it was built."""
    chosen = options.settings.over(OPTIONS)
    version = tensorrt_version(runtime)
    folder = engines / _key(runtime, version, artifact, target, options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made, where TensorRT's engine is kept: {error.strerror}") from error
    before = _engines(folder)
    provider = Provider(
        name=PROVIDER,
        options={
            **chosen,
            **profile("input", artifact.artifact.spec.in_channels, options.tile_shape),
            "trt_fp16_enable": "1" if target.precision is Precision.FP16 else "0",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "device_id": str(target.device_index),
        },
        graph=chosen["trt_cuda_graph_enable"] == "1",
    )
    begin = time.perf_counter()
    session = OnnxSession(runtime, artifact, target, options, provider)
    took_s = time.perf_counter() - begin
    after = _engines(folder)
    if not after:
        session.close()
        raise PlacementError(f"{target}: TensorRT was asked for, onnxruntime built no engine in {folder}")
    session.facts = {"tensorrt": version, **_facts(folder, built=after != before, took_s=took_s)}
    return session


def profile(name: str, channels: int, tile_shape: tuple[int, int, int]) -> dict[str, str]:
    """The shapes that the engine is built for: with them it is built at loading, not at the first tile."""
    count, height, width = tile_shape
    shapes = {"min": 1, "opt": count, "max": count}
    return {f"trt_profile_{kind}_shapes": f"{name}:{n}x{channels}x{height}x{width}" for kind, n in shapes.items()}


def set_tf32(target: Target) -> None:
    """Allow or forbid TF32 in this process, before NVIDIA's libraries are loaded.

    Raises:
        PlacementError: TF32 was asked for, and the environment forbids it.
    """
    if target.precision is Precision.FP32:
        os.environ[NO_TF32] = "0"
    elif target.precision is Precision.TF32 and os.environ.get(NO_TF32) == "0":
        raise PlacementError(f"{target}: TF32 was asked for, {NO_TF32}=0 forbids it", f"unset {NO_TF32}")


def preload() -> None:
    """Load the libraries of TensorRT's wheel, where they are not on the loader's path."""
    with suppress(UnavailableError):
        library("tensorrt", "tensorrt")


def missing_library(runtime: Any) -> str | None:
    """TensorRT's library that this onnxruntime was linked to, where it cannot be loaded; None: it can."""
    name = needed_library(_capi(runtime))
    preload()
    try:
        ctypes.CDLL(name)
    except OSError as error:
        why = str(error).removeprefix(f"{name}: ")
        return f"TensorRT's {name} cannot be loaded: {why}"
    return None


def tensorrt_version(runtime: Any) -> str:
    """As the library itself numbers it, ``101300`` for 10.13.0: ``getInferLibVersion`` of ``NvInferRuntimeBase.h``."""
    try:
        return str(ctypes.CDLL(needed_library(_capi(runtime))).getInferLibVersion())
    except (OSError, AttributeError):
        return "not known"


def needed_library(folder: Path) -> str:
    """``libnvinfer.so.10``: as the provider in ``folder`` names it."""
    windows = sys.platform == "win32"
    provider = folder / ("onnxruntime_providers_tensorrt.dll" if windows else "libonnxruntime_providers_tensorrt.so")
    with suppress(OSError):
        found = _LIBRARY.search(provider.read_bytes())
        if found:
            return found[0].decode()
    return "nvinfer.dll" if windows else "libnvinfer.so"


def tensorrt_requirement(runtime: Any) -> str:
    """Name the wheel that onnxruntime links: ``tensorrt-cu13>=10,<11``."""
    cuda = str(getattr(runtime, "cuda_version", "") or "").partition(".")[0]
    name = f"tensorrt-cu{cuda}" if cuda else "tensorrt"
    major = re.search(r"[0-9]+", needed_library(_capi(runtime)))
    return f"{name}>={major[0]},<{int(major[0]) + 1}" if major else name


def _capi(runtime: Any) -> Path:
    """Return the folder of onnxruntime's shared libraries."""
    return Path(runtime.__file__).parent / "capi"


def _key(runtime: Any, version: str, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> str:
    """Names what an engine depends on, beside the device that TensorRT itself puts into the file's name."""
    chosen = options.settings.over(OPTIONS)
    told = {
        "files": [file.sha256 for file in artifact.artifact.files],
        "precision": target.precision.value,
        "device": device_names()[target.device_index : target.device_index + 1],
        "shape": options.tile_shape,
        "level": chosen["trt_builder_optimization_level"],
        "onnxruntime": runtime.__version__,
        "tensorrt": version,
    }
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:24]


def _engines(folder: Path) -> dict[str, int]:
    """Each engine's file and when it was written, in nanoseconds."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.engine")}


def _facts(folder: Path, *, built: bool, took_s: float) -> Mapping[str, str]:
    note = folder / BUILD_NOTE
    if built:
        note.write_text(f"{took_s:.1f}", encoding="ascii")
    with suppress(OSError):
        return {"engine": "built" if built else "cached", "engine_build_s": note.read_text(encoding="ascii")}
    return {"engine": "cached"}
