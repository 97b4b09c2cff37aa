"""OpenVINO on the CPU: the ONNX artifact, compiled for one tile shape."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from esrbench.artifact import INT8_CONVOLUTIONS, ONNX, OPENVINO, Format, Interface, LocatedArtifact
from esrbench.availability import each, library, refused, require, unless_refused, usable
from esrbench.errors import EsrbenchError, PlacementError, UnavailableError
from esrbench.layout import to_planes, to_tiles
from esrbench.runner import Availability, DeviceType, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target
from esrbench.translation import translated

HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16"}
"""OpenVINO's own names: of its precision hint, and of what a compiled layer runs at."""

NEEDS = {
    Precision.BF16: ("BF16", "AVX512-BF16 or AMX"),
    Precision.FP16: ("FP16", "AVX512-FP16 or AMX-FP16"),
}
"""What OpenVINO calls a CPU's capability, and the instructions that give it to one."""

OFFERED = (*HINTS, Precision.INT8)

CANDIDATES = (
    DEFAULT,
    Settings(values={"ENABLE_CPU_PINNING": "NO"}),
    Settings(values={"ENABLE_HYPER_THREADING": "YES"}),
)
"""Threads that may wander from core to core; and two of them on a core that offers it."""

INTEGERS = frozenset({"u8", "i8"})
"""What layers that compute in integers run at, by what they are given."""

CONVOLUTION = "Convolution"


class OpenvinoRunner(Runner):
    """OpenVINO's CPU plug-in."""

    name: ClassVar[str] = "openvino"
    accepts: ClassVar[frozenset[Format]] = frozenset({ONNX, OPENVINO})

    def targets(self) -> Sequence[Availability]:
        """The CPU at fp32 and int8, and at bf16 and fp16 where it has the instructions."""
        return unless_refused(each(self.name, "cpu", OFFERED), lambda: self._found(self._core()))

    def artifact_precision(self, target: Target) -> Precision:
        """Fp32, which OpenVINO converts to halves when it compiles; int8 has to be in the graph."""
        return Precision.INT8 if target.precision is Precision.INT8 else Precision.FP32

    def candidates(self, target: Target) -> Sequence[Settings]:
        """How its threads lie on the cores."""
        return CANDIDATES

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """A model compiled for the tile shape of ``options``, at the target's precision; of planes alone."""
        if artifact.artifact.io is Interface.IMAGE:
            name = artifact.artifact.files[0].name
            raise UnavailableError(f"{target} feeds planes, {name} takes pictures", "export it with --io float")
        core = self._core()
        entry = require(target, self._found(core))
        return self._opened(core, artifact, target, options, entry.device_name or "CPU")

    def _opened(
        self, core: Any, artifact: LocatedArtifact, target: Target, options: LoadOptions, device_name: str
    ) -> "OpenvinoSession":
        return OpenvinoSession(core, artifact, target, options, device_name)

    def load_for_proof(self, artifact: LocatedArtifact, options: LoadOptions) -> Session:
        """In fp32, whatever float the weights are stored as."""
        precision = Precision.INT8 if artifact.artifact.precision is Precision.INT8 else Precision.FP32
        return self.load(artifact, Target.of(self.name, "cpu", precision), options)

    def _core(self) -> Any:
        openvino = library("openvino", "esrbench[openvino]")
        with translated("openvino: starting"):
            return openvino.Core()

    def _found(self, core: Any) -> Sequence[Availability]:
        with translated("openvino: asking for its CPU"):
            device_name = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
            capabilities = frozenset(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        return [
            entry
            for target in each(self.name, "cpu", OFFERED)
            for entry in _availability(target, device_name, capabilities)
        ]


def _availability(target: Target, device_name: str, capabilities: frozenset[str]) -> Sequence[Availability]:
    """Asked for bf16 on a CPU without the instructions, OpenVINO says nothing and runs fp32."""
    capability, instructions = NEEDS.get(target.precision, ("", ""))
    if not capability or capability in capabilities:
        return usable((target,), device_name, DeviceType.CPU)
    precision = target.precision.value
    reason = f"OpenVINO has no {precision} on this CPU ({device_name}); it would silently run fp32"
    remedy = f"measure {Target.of(target.runtime, 'cpu', Precision.FP32)}, or use a CPU with {instructions}"
    return refused((target,), reason, remedy)


class OpenvinoSession(Session):
    """A compiled model. Height and width are fixed; the batch is bounded, as the last one may be smaller."""

    DEFAULTS: ClassVar[dict[str, str]] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}

    def __init__(
        self, core: Any, artifact: LocatedArtifact, target: Target, options: LoadOptions, device_name: str
    ) -> None:
        self._target = target
        self._artifact = artifact.artifact
        self._device_name = device_name
        self._sides = options.tile_shape[1:]
        self._config: Mapping[str, str] = {
            **options.settings.over(self.DEFAULTS),
            "INFERENCE_PRECISION_HINT": HINTS[_float_precision(core, target)],
            "INFERENCE_NUM_THREADS": str(options.threads),
        }
        with translated(f"{target}: loading {artifact.path()}"):
            model = core.read_model(str(artifact.path()))
            model.reshape(_shape(options.tile_shape, artifact.artifact.spec.in_channels))
            self._model = core.compile_model(model, "CPU", self._config)
            self._request = self._model.create_infer_request()
        self._layers = self._convolutions()
        self._check_precision()

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch."""
        self._refuse_other_sides(tiles)
        with translated(f"{self._target}: a batch of shape {tiles.shape}"):
            self._request.infer([to_planes(tiles)], share_inputs=True)
            return to_tiles(self._request.get_output_tensor().data, tiles)

    def placement(self) -> Placement:
        """Precision of each compiled convolution: the hint that was asked for proves nothing."""
        self._check_precision()
        return Placement(
            device_name=self._device_name,
            device_type=DeviceType.CPU,
            provider="CPU",
            precision=self._target.precision,
            nodes={f"{CONVOLUTION} {precision}": count for precision, count in self._layers.items()},
            options={name: _text(self._model.get_property(name)) for name in (*self._config, *SHOWN)},
            versions={"openvino": library("openvino", "esrbench[openvino]").__version__},
        )

    def close(self) -> None:
        """Free the compiled model."""
        del self._request, self._model

    def _refuse_other_sides(self, tiles: Tiles) -> None:
        _, *given, _ = tiles.shape
        if tuple(given) != self._sides:
            only, found = ("×".join(map(str, sides)) for sides in (self._sides, given))
            raise EsrbenchError(
                f"{self._target}: compiled for tiles of {only} px alone, it was given {found}; load it for that size"
            )

    def _convolutions(self) -> dict[str, int]:
        """Precision that OpenVINO computes at → convolutions compiled so."""
        infos = [layer.get_rt_info() for layer in self._model.get_runtime_model().get_ops()]
        return dict(Counter(_arithmetic(info) for info in infos if _text(info["layerType"]) == CONVOLUTION))

    def _check_precision(self) -> None:
        """Most convolutions must run as asked; OpenVINO may keep single ones beside an input or output in fp32."""
        if self._target.precision is Precision.INT8:
            self._refuse_float_convolutions()
            return
        as_asked = self._layers.get(HINTS[self._target.precision], 0)
        if as_asked * 2 <= sum(self._layers.values()):
            raise PlacementError(
                f"{self._target}: {HINTS[self._target.precision]} was asked for, OpenVINO compiled its convolutions "
                f"as {self._layers or 'something else'}",
                f"measure {Target.of(self._target.runtime, 'cpu', Precision.FP32)}",
            )

    def _refuse_float_convolutions(self) -> None:
        """Every convolution that the artifact holds in int8 must run in integers."""
        asked = int(self._artifact.options.get(INT8_CONVOLUTIONS, "0"))
        found = sum(count for precision, count in self._layers.items() if precision in INTEGERS)
        if not asked or found < asked:
            raise PlacementError(
                f"{self._target}: {asked} convolutions are int8 in {self._artifact.files[0].name}, OpenVINO compiled "
                f"them as {self._layers or 'something else'}",
                "measure openvino@cpu:fp32",
            )


def _float_precision(core: Any, target: Target) -> Precision:
    """Of an int8 graph's few float layers: bf16 where the CPU has it, as their rounding is far below that of bytes."""
    if target.precision is not Precision.INT8:
        return target.precision
    return Precision.BF16 if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else Precision.FP32


SHOWN = ("NUM_STREAMS", "ENABLE_CPU_PINNING")
"""Settings that OpenVINO chooses where it is not told, shown as it chose them."""


def _arithmetic(info: Any) -> str:
    """For weights stored as fp16 ``runtimePrecision`` names the storage; the arithmetic ends the primitive's name."""
    return HINTS[Precision.FP32] if _text(info["primitiveType"]).endswith("_f32") else _text(info["runtimePrecision"])


def _shape(tile_shape: tuple[int, int, int], channels: int) -> Any:
    """``(N, C, H, W)``; N is 1 to N where it can vary, which costs nothing on the CPU (measured, AVX2)."""
    openvino = library("openvino", "esrbench[openvino]")
    batch, height, width = tile_shape
    return openvino.PartialShape([openvino.Dimension(1, batch) if batch > 1 else 1, channels, height, width])


def _text(value: Any) -> str:
    """A property or a layer's fact as text: OpenVINO wraps some of them."""
    if hasattr(value, "astype"):
        return str(value.astype(str))
    return str(value.to_string() if hasattr(value, "to_string") else value)
