"""A host of files on this machine that answers as it is told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETAG = '"v1"'
WAIT_S = 60  # for what surely happens; a test that waits so long has failed


class Answer(BaseHTTPRequestHandler):
    """One request, from the answerer's view."""

    server: "Host"

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, length: int, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


Script = Callable[[Answer], None]


class Host(ThreadingHTTPServer):
    """Its script has one entry a request, the last one for all that follow."""

    daemon_threads = True

    def __init__(self, script: list[Script]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.script = script
        self.asked: list[dict[str, str]] = []
        self.silent = threading.Event()  # set while a request gets no further answer
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/tiny.pth"


@contextmanager
def hosting(script: list[Script]) -> Iterator[Host]:
    with Host(script) as host:
        thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host
        finally:
            host.over.set()
            host.shutdown()
            thread.join()


def whole(content: bytes, *, etag: str | None = ETAG) -> Script:
    """The file, or the part of it that is asked for."""

    def answer(request: Answer) -> None:
        tags = {"ETag": etag} if etag else {}
        asked = request.headers.get("Range", "")
        if not asked or request.headers.get("If-Range") != etag:
            request.head(len(content), **tags)
            request.wfile.write(content)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        place = f"bytes {first}-{len(content) - 1}/{len(content)}"
        request.head(len(content) - first, 206, Content_Range=place, **tags)
        request.wfile.write(content[first:])

    return answer


def broken(content: bytes, sent_bytes: int, *, etag: str | None = ETAG) -> Script:
    """The file is promised, and the connection ends after so many bytes."""

    def answer(request: Answer) -> None:
        request.head(len(content), **({"ETag": etag} if etag else {}))
        request.wfile.write(content[:sent_bytes])

    return answer


def stalled(content: bytes, sent_bytes: int) -> Script:
    """The file is promised, and after so many bytes nothing comes any more, while the connection stays."""

    def answer(request: Answer) -> None:
        request.head(len(content), ETag=ETAG)
        request.wfile.write(content[:sent_bytes])
        request.wfile.flush()
        request.server.silent.set()
        request.server.over.wait(WAIT_S)

    return answer


def silent(request: Answer) -> None:
    """Not even a status."""
    request.server.silent.set()
    request.server.over.wait(WAIT_S)


def refused(status: int) -> Script:
    """A status and nothing else."""
    return lambda request: request.head(0, status)
