"""What the runners of the torch family share. Light: torch is imported where it runs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import LocatedArtifact
from esrbench.availability import each, library, require, unless_refused, usable
from esrbench.errors import EsrbenchError
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType, LoadOptions, Runner, Session
from esrbench.target import Precision, Target

if TYPE_CHECKING:
    import torch


class TorchFamilyRunner(Runner):
    """A runtime whose loaded artifact is a ``torch.nn.Module``."""

    on_cpu: ClassVar[tuple[Precision, ...]]
    on_cuda: ClassVar[tuple[Precision, ...]]
    benchmark: ClassVar[bool] = True
    """Let cuDNN time its algorithms for each shape and keep the fastest."""

    setting_names: ClassVar[frozenset[str]] = frozenset()
    """Settings that the runner itself reads; a session on CUDA has its own."""

    @abstractmethod
    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The artifact as a network on the CPU, in evaluation mode."""

    def targets(self) -> Sequence[Availability]:
        """The CPU and every CUDA device."""
        every = (*each(self.name, "cpu", self.on_cpu), *each(self.name, "cuda", self.on_cuda))
        return unless_refused(every, lambda: [*self._found("cpu"), *self._found("cuda")])

    def artifact_precision(self, target: Target) -> Precision:
        """Always fp32: torch converts the weights itself."""
        return Precision.FP32

    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """The network with its weights on the target's device."""
        require(target, self._found(target.device_kind))
        from esrbench_runners.torch_devices import set_arithmetic  # noqa: PLC0415

        set_arithmetic(target, options.threads, benchmark=self.benchmark)
        return self.session(self.network(artifact, target), target, options)

    def session(self, network: "torch.nn.Module", target: Target, options: LoadOptions) -> Session:
        """A session of ``network``; torch's switches are set.

        Raises:
            EsrbenchError: a setting that nothing reads, or whose value makes no sense.
        """
        settings = {name: text for name, text in options.settings.values.items() if name not in self.setting_names}
        if target.device_kind == "cuda":
            from esrbench_runners.cuda_session import CudaSession, CudaSettings  # noqa: PLC0415

            return CudaSession(network, target, CudaSettings.of(settings, target))
        if settings:
            raise EsrbenchError(f"{target} has no setting {', '.join(settings)}")
        from esrbench_runners.torch_session import TorchSession  # noqa: PLC0415

        return TorchSession(network, target)

    def load_for_proof(self, artifact: LocatedArtifact, options: LoadOptions) -> Session:
        """In fp32, whatever the weights are stored as: torch's half-precision CPU kernels take minutes a tile."""
        return self.load(artifact, Target.of(self.name, "cpu", Precision.FP32), options)

    def _found(self, device_kind: str) -> Sequence[Availability]:
        library("torch", "torch")
        if device_kind != "cuda":
            return usable(each(self.name, "cpu", self.on_cpu), cpu_name(), DeviceType.CPU)
        from esrbench_runners.torch_devices import cuda_targets  # noqa: PLC0415

        return cuda_targets(self.name, self.on_cuda)
