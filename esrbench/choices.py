"""Settings that were found to be fastest, kept for later runs on the same machine.

CACHE/settings/<key>.json holds the tuning that made the choice. The key names whatever could make another choice right:
the machine, the versions, the artifact, the tile shape, the threads, and the candidates themselves.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from esrbench import cache
from esrbench.artifact import Artifact
from esrbench.codec import Value, decode, encode
from esrbench.errors import OutputError, RecordError
from esrbench.record import Environment, TuningRecord, Workload
from esrbench.settings import Settings
from esrbench.system import files
from esrbench.target import Target
from esrbench.workplace import workplace

_KEY_LENGTH = 24  # hex digits: 96 bits of a sha256
_MOST_BYTES = 1 << 20  # of a kept choice: it has some kB


class Question(Value, frozen=True, kw_only=True):
    """Which of these settings is fastest: everything that the answer depends on."""

    target: Target
    candidates: tuple[Settings, ...]
    files_sha256: tuple[str, ...]  # of the artifact
    tile_shape: tuple[int, int, int]  # (N, H, W)
    threads: int
    cpu: str
    cpu_features: tuple[str, ...]
    usable_cores: int
    gpus: tuple[str, ...]  # with their driver
    versions: dict[str, str]
    environment: dict[str, str] = msgspec.field(default_factory=dict)  # variables of launches that were asked for

    @property
    def key(self) -> str:
        """A name for the answer."""
        return hashlib.sha256(encode(self)).hexdigest()[:_KEY_LENGTH]


def question(
    target: Target,
    candidates: tuple[Settings, ...],
    artifact: Artifact,
    workload: Workload,
    machine: Environment,
    *,
    environment: dict[str, str],
) -> Question:
    """What a tuning of ``target`` on ``workload`` would answer."""
    return Question(
        target=target,
        candidates=candidates,
        files_sha256=tuple(file.sha256 for file in artifact.files),
        tile_shape=(min(workload.batch, workload.tiles * workload.copies), workload.tile_px, workload.tile_px),
        threads=workload.threads,
        cpu=machine.cpu,
        cpu_features=machine.cpu_features,
        usable_cores=machine.usable_cores,
        gpus=machine.gpus,
        versions=machine.versions,
        environment=environment,
    )


def recall(asked: Question) -> TuningRecord | None:
    """The tuning that answered it before; None where none did, or it can no longer be read."""
    try:
        found = decode(files.read(_file(asked), _MOST_BYTES), TuningRecord, "a kept choice of settings")
    except (OSError, RecordError):
        return None
    return found if found.chosen in asked.candidates else None


def remember(asked: Question, tuned: TuningRecord) -> None:
    """Keep the answer; where the cache cannot be written the next run has to ask again, and that is all."""
    file = _file(asked)
    with suppress(OSError, OutputError), workplace(file.parent, ".tuning-") as folder:
        part = folder / file.name
        part.write_bytes(encode(tuned))
        part.replace(file)


def _file(asked: Question) -> Path:
    return cache.folder() / "settings" / f"{asked.key}.json"
