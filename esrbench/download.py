"""A file from an address: whole and of the digest that was expected, or one clear error and nothing left."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from esrbench.errors import CheckpointError
from esrbench.wording import counted
from esrbench.workplace import workplace

if TYPE_CHECKING:
    import requests

OFFLINE_VARIABLE = "ESRBENCH_OFFLINE"

_CHUNK_BYTES = 1 << 16
_PARTIAL_CONTENT, _NO_SUCH_RANGE = 206, 416
_MAY_PASS = {408, 429, _NO_SUCH_RANGE, 500, 502, 503, 504}  # answers that another attempt may change


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a host is waited for, and how often it is asked."""

    connect_s: float = 10
    read_s: float = 30  # between two pieces of the answer: a slow host is waited for, a silent one is not
    attempts: int = 4
    pause_s: float = 1  # before the second attempt; doubles with each one
    wait: Callable[[float], None] = time.sleep


class Watcher(Protocol):
    """Is told how a download goes."""

    def received(self, held_bytes: int, total_bytes: int | None) -> None:
        """So much is here, of so much where the host says it."""

    def retrying(self, reason: str) -> None:
        """An attempt failed, another follows."""


class Unwatched:
    """Nobody looks."""

    def received(self, held_bytes: int, total_bytes: int | None) -> None:
        """Nothing is shown."""

    def retrying(self, reason: str) -> None:
        """Nothing is shown."""


def offline() -> bool:
    """Whether ``ESRBENCH_OFFLINE`` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"}


def download(url: str, sha256: str, path: Path, watcher: Watcher, patience: Patience) -> None:
    """Fetch ``url``; the file gets its name ``path`` when its digest is known to be ``sha256``.

    A connection that breaks is taken up where it broke, where the host can do that. Nothing is kept of a download
    that failed or was interrupted.

    Raises:
        CheckpointError: downloads are forbidden, the host cannot be reached or fails, or the file is another one.
        OutputError: the file cannot be written.
    """
    by_hand = f"put the file (sha256 {sha256}) at {path}"
    if offline():
        raise CheckpointError(f"{url} was asked for, but {OFFLINE_VARIABLE} forbids downloads; unset it, or {by_hand}")
    import pooch  # noqa: PLC0415
    import requests  # noqa: PLC0415

    pooch.get_logger().setLevel(logging.WARNING)  # what it does is said by the command line
    downloader = _ResumingDownloader(watcher, patience)
    with workplace(path.parent, ".fetching-") as folder:
        try:
            pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=folder, downloader=downloader)
        except (requests.RequestException, ValueError) as error:  # ValueError: pooch found another digest
            reason = f"{_reason(error, patience)}, after {counted(downloader.attempts, 'attempt')}"
            raise CheckpointError(f"{url} could not be fetched: {reason}; try again, or {by_hand}") from error
        (folder / path.name).replace(path)


class _ResumingDownloader:
    """What pooch calls to fill its temporary file: bounded attempts, each going on where the last one broke."""

    def __init__(self, watcher: Watcher, patience: Patience) -> None:
        self.attempts = 0
        self._watcher = watcher
        self._patience = patience
        self._validator: str | None = None  # of the file that is being received

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch ``url`` into ``output_file``; the arguments are pooch's."""
        import requests  # noqa: PLC0415

        with Path(output_file).open("wb") as file:
            while True:
                self.attempts += 1
                try:
                    return self._receive(url, file)
                except requests.RequestException as error:
                    if self.attempts >= self._patience.attempts or not _may_pass(error):
                        raise
                    self._watcher.retrying(_reason(error, self._patience))
                self._patience.wait(self._patience.pause_s * 2 ** (self.attempts - 1))

    def _receive(self, url: str, file: BinaryIO) -> None:
        """One attempt. Only a host that named the file's version is asked for the rest of it (RFC 9110, 13.1.5)."""
        import requests  # noqa: PLC0415

        held = file.tell() if self._validator else 0
        headers = {"Accept-Encoding": "identity"}
        if held and self._validator:
            headers |= {"Range": f"bytes={held}-", "If-Range": self._validator}
        times = (self._patience.connect_s, self._patience.read_s)
        with requests.get(url, stream=True, timeout=times, headers=headers) as response:
            if response.status_code == _NO_SUCH_RANGE:
                self._validator = None
            response.raise_for_status()
            if response.status_code != _PARTIAL_CONTENT:
                held = 0
            file.seek(held)
            file.truncate()
            self._validator = _validator(response)
            rest = response.headers.get("Content-Length")
            total = held + int(rest) if rest else None
            self._watcher.received(held, total)
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                held += len(chunk)
                self._watcher.received(held, total)


def _validator(response: "requests.Response") -> str | None:
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _may_pass(error: "requests.RequestException") -> bool:
    """Whether another attempt makes sense."""
    import requests  # noqa: PLC0415

    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _MAY_PASS
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken) and not isinstance(error, requests.exceptions.SSLError)


def _reason(error: Exception, patience: Patience) -> str:
    """In a few words, without the address, which stands beside it."""
    import requests  # noqa: PLC0415

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the host answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout):
        return f"the host does not answer within {patience.connect_s:g} s"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):  # the latter while the body is read
        return f"the host was silent for {patience.read_s:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or "Connection aborted" in str(error):
        return "the connection broke before the file was whole"
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.exceptions.SSLError):
        return "the host cannot be reached"
    return str(error)
