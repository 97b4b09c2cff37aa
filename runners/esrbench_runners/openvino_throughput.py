"""OpenVINO on the CPU in its throughput mode: several streams, each with a share of the threads."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from esrbench.artifact import LocatedArtifact
from esrbench.layout import Planes, to_planes, to_tiles
from esrbench.runner import LoadOptions, Placement, Tiles
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Target
from esrbench.translation import translated
from esrbench_runners.openvino_model import OpenvinoRunner, OpenvinoSession

CANDIDATES = (DEFAULT, *(Settings(values={"NUM_STREAMS": streams}) for streams in ("1", "2", "4")))
"""As many streams as OpenVINO thinks best for the thread budget, or a number of one's own."""

REQUESTS = "OPTIMAL_NUMBER_OF_INFER_REQUESTS"


class OpenvinoThroughputRunner(OpenvinoRunner):
    """The same CPU plug-in, asked for tiles a second instead of the soonest tile."""

    name: ClassVar[str] = "openvino-throughput"
    on_request: ClassVar[bool] = True

    def candidates(self, target: Target) -> Sequence[Settings]:
        """Numbers of streams."""
        return CANDIDATES

    def _opened(
        self, core: Any, artifact: LocatedArtifact, target: Target, options: LoadOptions, device_name: str
    ) -> OpenvinoSession:
        return OpenvinoStreams(core, artifact, target, options, device_name)


class _UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that a request works on, and the planes that it reads meanwhile."""

    request: Any
    batch: Tiles
    planes: Planes


class OpenvinoStreams(OpenvinoSession):
    """``stream`` keeps every stream busy; ``run`` is one batch through one of them, the others idle."""

    DEFAULTS: ClassVar[dict[str, str]] = {"PERFORMANCE_HINT": "THROUGHPUT"}

    def __init__(
        self, core: Any, artifact: LocatedArtifact, target: Target, options: LoadOptions, device_name: str
    ) -> None:
        super().__init__(core, artifact, target, options, device_name)
        count = int(self._model.get_property(REQUESTS))
        self._requests = [self._request, *(self._model.create_infer_request() for _ in range(count - 1))]

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        """Batch after batch, in order, as many at once as the model has requests."""
        idle = deque(self._requests)
        under_way: deque[_UnderWay] = deque()
        try:
            for batch in batches:
                if not idle:
                    yield self._finished(idle, under_way)
                request = idle.popleft()
                started = _UnderWay(request=request, batch=batch, planes=to_planes(batch))
                with translated(f"{self._target}: a batch of shape {batch.shape}"):
                    # Shared as in `run`: else OpenVINO would copy into the memory that was shared with it last.
                    request.start_async([started.planes], share_inputs=True)
                under_way.append(started)
            while under_way:
                yield self._finished(idle, under_way)
        finally:
            for left in under_way:  # whoever asked has stopped asking
                left.request.wait()

    def _finished(self, idle: deque[Any], under_way: "deque[_UnderWay]") -> Tiles:
        """The oldest batch under way, upscaled."""
        oldest = under_way.popleft()
        with translated(f"{self._target}: a batch of shape {oldest.batch.shape}"):
            oldest.request.wait()
            upscaled = to_tiles(oldest.request.get_output_tensor().data, oldest.batch)
        idle.append(oldest.request)
        return upscaled

    def placement(self) -> Placement:
        """With the number of requests at once."""
        found = super().placement()
        return msgspec.structs.replace(found, options={**found.options, REQUESTS: str(len(self._requests))})

    def close(self) -> None:
        """Free the requests, then the model."""
        del self._requests
        super().close()
