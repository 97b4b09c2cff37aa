"""AOTInductor packages: the network compiled to a shared library."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from esrbench.artifact import AOTINDUCTOR, Format, LocatedArtifact
from esrbench.availability import each, library, require, unless_refused, usable
from esrbench.errors import PlacementError
from esrbench.layout import to_planes, to_tiles
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType, LoadOptions, Placement, Runner, Session, Tiles
from esrbench.target import Precision, Target
from esrbench.translation import translated

if TYPE_CHECKING:
    import torch


class AotInductorRunner(Runner):
    """Compiled on the machine that it runs on: minutes, so it is measured where it is asked for. CPU packages only."""

    name: ClassVar[str] = "aotinductor"
    accepts: ClassVar[frozenset[Format]] = frozenset({AOTINDUCTOR})
    on_request = True

    _CPU = (Precision.FP32, Precision.BF16)

    def targets(self) -> Sequence[Availability]:
        """The CPU."""
        return unless_refused(each(self.name, "cpu", self._CPU), self._found)

    def artifact_precision(self, target: Target) -> Precision:
        """As measured: types are compiled in."""
        return target.precision

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """The package's own runner on the CPU that it was compiled for."""
        require(target, self._found())
        return InductorSession(artifact, target, options.threads)

    def _found(self) -> Sequence[Availability]:
        library("torch", "torch")
        return usable(each(self.name, "cpu", self._CPU), cpu_name(), DeviceType.CPU)


class InductorSession(Session):
    """A loaded package; its weights have the layout that the compiler chose."""

    def __init__(self, artifact: LocatedArtifact, target: Target, threads: int) -> None:
        import torch  # noqa: PLC0415  (only where it runs)

        self._torch = torch
        self._target = target
        self._compiled_for = artifact.artifact.options.get("cpu", "another machine")
        self._precision = artifact.artifact.precision
        torch.set_num_threads(threads)
        with suppress(RuntimeError):  # settable once, before any parallel work
            torch.set_num_interop_threads(1)
        self._check_processor()  # before its code is loaded: another one may not have the instructions
        with translated(f"{target}: loading {artifact.path()}"):
            self._package: Any = torch._inductor.aoti_load_package(str(artifact.path()))
        self.placement()

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch."""
        with translated(f"{self._target}: a batch of shape {tiles.shape}"), self._torch.inference_mode():
            planes = self._torch.from_numpy(to_planes(tiles)).to(self._dtype())
            upscaled: torch.Tensor = self._package(planes)
            return to_tiles(upscaled.to(self._torch.float32).numpy(), tiles)

    def placement(self) -> Placement:
        """The device that the package names, its weights there, and the precision compiled in."""
        facts = self._package.get_metadata()
        device = facts.get("AOTI_DEVICE_KEY", "a device that it does not name")
        if device != "cpu":
            raise PlacementError(f"{self._target}: the CPU was asked for, the package is compiled for {device}")
        if self._precision is not self._target.precision:
            raise PlacementError(f"{self._target}: the package is {self._precision.value}", "export it again")
        return Placement(
            device_name=cpu_name(),
            device_type=DeviceType.CPU,
            provider=f"cpu ({facts.get('AOTI_CPU_ISA') or self._torch.backends.cpu.get_cpu_capability()})",
            precision=self._precision,
            nodes={device: sum(name.endswith(".weight") for name in self._package.get_constant_fqns())},
            options={"threads": str(self._torch.get_num_threads())},
            versions={"torch": str(self._torch.__version__)},
        )

    def _check_processor(self) -> None:
        if self._compiled_for != cpu_name():
            raise PlacementError(
                f"{self._target}: the package was compiled for {self._compiled_for}, this is {cpu_name()}",
                "export it again here",
            )

    def close(self) -> None:
        """Drop the package."""
        del self._package

    def _dtype(self) -> "torch.dtype":
        return self._torch.bfloat16 if self._precision is Precision.BF16 else self._torch.float32
