"""Keep a run's own copies of its artifacts.

Changes of the cache during the run then do not reach what it measures.
"""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from esrbench.artifact import LocatedArtifact, is_whole
from esrbench.errors import ArtifactError


class HeldArtifacts:
    """Hold copies of ``sources`` in ``folder``, which is made.

    Copies and not links: a byte that changes in a linked file changes in both. Where the disk has no room for one, the
    cache's own files are used, checked as a copy is.
    """

    def __init__(self, folder: Path, sources: Iterable[LocatedArtifact]) -> None:
        self._copies: dict[str, LocatedArtifact] = {}  # folder of a source -> its copy
        for source in sources:
            if source.folder not in self._copies:
                held = LocatedArtifact(artifact=source.artifact, folder=str(folder / str(len(self._copies))))
                self._copies[source.folder] = held
                _copy(source, held)

    def checked(self, source: LocatedArtifact) -> LocatedArtifact:
        """Return the copy of ``source``, its digests checked just now.

        A copy that was changed is made again. 67 MB took 0.3 s on a busy core: it belongs outside whatever is timed.

        Raises:
            ArtifactError: neither the copy nor its source is what was exported.
        """
        held = self._copies[source.folder]
        if is_whole(held):
            return held
        _copy(source, held)
        for left in (held, source):
            if is_whole(left):
                return left
        name = source.artifact.files[0].name
        raise ArtifactError(
            f"{name} is no longer what was exported, neither in {source.folder} nor in this run's copy of it; "
            "measure again, which exports it anew"
        )


def _copy(source: LocatedArtifact, held: LocatedArtifact) -> None:
    """Copy every file, or none where the disk is full."""
    folder = Path(held.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, file in enumerate(source.artifact.files):
            with suppress(FileNotFoundError):
                (folder / file.name).unlink()  # never written through: it may have become a link
            shutil.copyfile(source.path(index), folder / file.name)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
