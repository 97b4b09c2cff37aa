"""ncnn, on the CPU and on Vulkan."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from esrbench.artifact import NCNN, Format, LocatedArtifact
from esrbench.availability import each, library, refused, require, unless_refused, usable
from esrbench.errors import EsrbenchError, OutOfMemoryError, PlacementError
from esrbench.layout import Planes, to_planes, to_tiles
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.settings import Settings
from esrbench.system.openmp import threads_granted
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners import ncnn_settings

SOFTWARE_DEVICE = 3
"""``GpuInfo.type()``: 0 discrete, 1 integrated, 2 virtual, 3 CPU."""

ALLOCATION_FAILED = -100
"""What ncnn's layers return when an allocation fails (``Layer::forward`` in ncnn's sources)."""

NO_ARITHMETIC = frozenset({"Input"})
"""Layers that do nothing, wherever they are."""


class NcnnRunner(Runner):
    """ncnn. No fp16 on the CPU: x86 has next to no fp16 arithmetic, ncnn would convert and run fp32."""

    name: ClassVar[str] = "ncnn"
    accepts: ClassVar[frozenset[Format]] = frozenset({NCNN})

    _CPU = (Precision.FP32, Precision.BF16)
    _VULKAN = (Precision.FP32, Precision.FP16)

    def targets(self) -> Sequence[Availability]:
        """The CPU and every Vulkan device."""
        every = (*each(self.name, "cpu", self._CPU), *each(self.name, "vulkan", self._VULKAN))
        return unless_refused(every, lambda: [*self._found("cpu"), *self._found("vulkan")])

    def artifact_precision(self, target: Target) -> Precision:
        """Half-precision weights where the arithmetic is, else single: ncnn converts to bf16 when it loads."""
        return Precision.FP16 if target.precision is Precision.FP16 else Precision.FP32

    def candidates(self, target: Target) -> Sequence[Settings]:
        """How convolutions are done on the CPU; how far fp16 goes on Vulkan."""
        return ncnn_settings.candidates(target)

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """A net on exactly the target's device."""
        entry = require(target, self._found(target.device_kind))
        return NcnnSession(library("ncnn", "esrbench[ncnn]"), artifact, entry, options)

    def load_for_proof(self, artifact: LocatedArtifact, options: LoadOptions) -> Session:
        """In fp32, whatever the weights are stored as."""
        return self.load(artifact, Target.of(self.name, "cpu", Precision.FP32), options)

    def _found(self, device_kind: str) -> Sequence[Availability]:
        ncnn = library("ncnn", "esrbench[ncnn]")
        if device_kind == "vulkan":
            return self._found_vulkan(ncnn)
        return usable(each(self.name, "cpu", self._CPU), cpu_name(), DeviceType.CPU)

    def _found_vulkan(self, ncnn: Any) -> Sequence[Availability]:
        if not hasattr(ncnn, "get_gpu_count"):
            reason = "this ncnn is built without Vulkan"
            return refused(each(self.name, "vulkan", self._VULKAN), reason, "pip install 'esrbench[ncnn]'")
        gpus = [ncnn.get_gpu_info(index) for index in range(ncnn.get_gpu_count())]
        if not gpus:
            remedy = "install the GPU's driver, or mesa-vulkan-drivers for a software device"
            return refused(each(self.name, "vulkan", self._VULKAN), "no Vulkan device is found", remedy)
        return [
            entry
            for index, gpu in enumerate(gpus)
            for entry in usable(
                each(self.name, f"vulkan{index}", self._VULKAN),
                gpu.device_name(),
                DeviceType.SOFTWARE if gpu.type() == SOFTWARE_DEVICE else DeviceType.GPU,
            )
        ]


class NcnnSession(Session):
    """A loaded net; it takes one tile at a time."""

    def __init__(self, ncnn: Any, artifact: LocatedArtifact, device: Availability, options: LoadOptions) -> None:
        self._ncnn = ncnn
        self._target = device.target
        self._device = device
        self._net = ncnn.Net()
        self._wanted = ncnn_settings.wanted(self._net.opt, device.target.precision, options.settings)
        self._set_options(options.threads)
        self._budget_mib = self._net.vulkan_device().get_heap_budget() if self._on_vulkan else None
        if self._budget_mib is not None:
            spec, name = artifact.artifact.spec, device.device_name or "the device"
            ncnn_settings.check_fits(self._target, name, self._budget_mib, spec, options.tile_shape)
        with translated(f"{self._target}: loading {artifact.path()}"):
            self._check(self._net.load_param(str(artifact.path(0))), f"reading {artifact.path(0)}")
            self._check(self._net.load_model(str(artifact.path(1))), f"reading {artifact.path(1)}")
        self._input, self._output = self._net.input_names()[0], self._net.output_names()[0]
        self.placement()

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch, tile after tile."""
        with translated(f"{self._target}: a batch of shape {tiles.shape}"):
            planes = to_planes(tiles)
            return to_tiles(np.stack([self._upscaled(planes, index) for index in range(len(planes))]), tiles)

    def placement(self) -> Placement:
        """The options as ncnn left them after loading, and the device that each layer can run on."""
        self._check_options()
        nodes = self._nodes()
        if self._on_vulkan and nodes.get("cpu"):
            raise PlacementError(f"{self._target}: {nodes['cpu']} layers have no Vulkan form and would run on the CPU")
        assert self._device.device_type is not None
        return Placement(
            device_name=self._device_name(),
            device_type=self._device.device_type,
            provider="vulkan" if self._on_vulkan else "cpu",
            precision=self._target.precision,
            nodes=nodes,
            options=self._options(),
            versions={"ncnn": self._ncnn.__version__},
        )

    def _options(self) -> dict[str, str]:
        """As ncnn has them now, and what the device can give."""
        found = {name: str(getattr(self._net.opt, name)) for name in self._wanted}
        found["num_threads"] = threads_granted(self._net.opt.num_threads)
        budget = {} if self._budget_mib is None else {"heap_budget_mib": str(self._budget_mib)}
        return found | budget

    def _device_name(self) -> str:
        """The device that the net itself names, which must be the one that was asked for."""
        asked = self._device.device_name or ""
        found = self._net.vulkan_device().info().device_name() if self._on_vulkan else asked
        if found != asked:
            raise PlacementError(f"{self._target}: {asked} was asked for, the net is on {found}")
        return str(found)

    def close(self) -> None:
        """Free the net. The Vulkan instance stays: ncnn crashes when it goes while any net lives."""
        self._net.clear()
        del self._net

    @property
    def _on_vulkan(self) -> bool:
        return self._target.device_kind == "vulkan"

    def _set_options(self, threads: int) -> None:
        """All before loading: ncnn prepares the weights by them."""
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = self._on_vulkan
        for name, value in self._wanted.items():
            kind = type(getattr(self._net.opt, name))  # bool, or int
            setattr(self._net.opt, name, kind(value))
        if self._on_vulkan:
            self._net.set_vulkan_device(self._target.device_index)

    def _check_options(self) -> None:
        """Refuse what ncnn changed by itself: it turns off, silently, what a device lacks."""
        if bool(self._net.opt.use_vulkan_compute) != self._on_vulkan:
            raise PlacementError(f"{self._target}: Vulkan was asked for, ncnn would run on the CPU")
        for name, value in self._wanted.items():
            if int(getattr(self._net.opt, name)) != value:
                raise PlacementError(f"{self._target}: {self._device.device_name} made ncnn change {name}")

    def _nodes(self) -> dict[str, int]:
        """Device → layers that run there."""
        layers = [layer for layer in self._net.layers() if layer.type not in NO_ARITHMETIC]
        return dict(Counter("vulkan" if self._on_vulkan and layer.support_vulkan else "cpu" for layer in layers))

    def _upscaled(self, planes: Planes, index: int) -> npt.NDArray[np.float32]:
        """One tile, ``(3, H, W)`` → ``(3, sH, sW)``."""
        # The clone owns its memory and pads each plane as ncnn wants it; a plain Mat only borrows the array's.
        tile = self._ncnn.Mat(planes[index]).clone()
        if tile.empty():  # what a clone is for which there was no memory
            self._check(ALLOCATION_FAILED, "copying a tile")
        extractor = self._net.create_extractor()
        output = None
        try:
            self._check(extractor.input(self._input, tile), f"setting {self._input}")
            code, output = extractor.extract(self._output)
            self._check(code, f"extracting {self._output}")
            return np.array(output)
        finally:  # an error's traceback would keep them alive beyond the net, whose memory they are in
            del extractor, output

    def _check(self, code: int, doing: str) -> None:
        if code == ALLOCATION_FAILED:
            raise OutOfMemoryError(f"{self._target}: {doing}: ncnn could not allocate memory")
        if code != 0:
            raise EsrbenchError(f"{self._target}: {doing} failed: ncnn returned {code}; its log may say why")
