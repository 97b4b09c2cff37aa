"""Follow the digest chain of a run.

Each launch names the sha256 of the file before it, the end names the last one and the rest. It tells an accident or a
careless edit, and where it lies. It is no signature: who rewrites every file can rewrite it.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from esrbench.record import RunEnd

SINCE_VERSION = 3
"""Records of older schema versions carry no digests."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a file of the chain: ``run.json``, then each launch."""

    name: str
    version: int  # of its schema
    sha256: str  # of its bytes
    previous_sha256: str | None = None  # that it names


def digest(data: bytes) -> str:
    """Return the hex sha256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def breaks(links: Sequence[Link]) -> Iterator[str]:
    """Name each file that does not follow the one before."""
    for before, link in itertools.pairwise(links):
        if link.version < SINCE_VERSION:
            if before.version >= SINCE_VERSION:
                yield f"{link.name} has schema version {link.version}, {before.name} before it {before.version}"
        elif link.previous_sha256 is None:
            yield f"{link.name} carries no digest of {before.name}"
        elif link.previous_sha256 != before.sha256:
            yield f"{link.name} does not follow {before.name}: one of them was changed, removed or added"


def breaks_at_end(name: str, version: int, end: RunEnd, links: Sequence[Link]) -> Iterator[str]:
    """Name what contradicts a run's end, or an interruption.

    ``links`` are the files up to there.
    """
    if version < SINCE_VERSION:
        return
    if end.launches is None or end.last_sha256 is None:
        yield f"{name} carries no digest"
    elif end.launches != len(links) - 1:
        yield f"{name} counts {end.launches} launches, {len(links) - 1} are there"
    elif end.last_sha256 != links[-1].sha256:
        yield f"{links[-1].name} was changed since {name} was written"


def changed(recorded: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Compare the digests of other files with the recorded ones."""
    for name in sorted({*recorded, *found}):
        if name not in found:
            yield f"{name} is missing"
        elif name not in recorded:
            yield f"{name} was added"
        elif recorded[name] != found[name]:
            yield f"{name} was changed"
