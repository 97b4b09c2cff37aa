import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from hashlib import sha256
from io import StringIO
from pathlib import Path

import pytest
from hosts import WAIT_S, broken, hosting, refused, silent, stalled, whole
from rich.console import Console

from esrbench import cache
from esrbench.cli.transfer import watching
from esrbench.download import OFFLINE_VARIABLE, Patience, download, offline
from esrbench.errors import CheckpointError, OutputError

CONTENT = bytes(range(256)) * 1024
HALF = len(CONTENT) // 2


class Notes:
    """A watcher that writes down what it is told, and the pauses that were not made."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.totals: set[int | None] = set()
        self.retries: list[str] = []
        self.pauses_s: list[float] = []

    def received(self, held_bytes, total_bytes) -> None:
        self.held.append(held_bytes)
        self.totals.add(total_bytes)

    def retrying(self, reason) -> None:
        self.retries.append(reason)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(OFFLINE_VARIABLE, raising=False)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "weights" / "tiny.pth"


@pytest.fixture
def fetch(path, notes):
    """Download into ``path`` what ought to be CONTENT, with little patience and no pauses."""

    def call(url: str, *, content: bytes = CONTENT, read_s: float = 20) -> None:
        patience = Patience(connect_s=20, read_s=read_s, attempts=3, wait=notes.pauses_s.append)
        download(url, sha256(content).hexdigest(), path, notes, patience)

    return call


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def test_the_right_file_gets_its_name_and_nothing_lies_beside_it(fetch, path, notes):
    with hosting([whole(CONTENT)]) as host:
        fetch(host.url)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["tiny.pth"]
    assert (notes.held[-1], notes.totals, notes.retries) == (len(CONTENT), {len(CONTENT)}, [])


def test_another_file_is_refused_at_once_and_nothing_is_kept(fetch, path, notes):
    with (
        hosting([whole(b"something else")]) as host,
        pytest.raises(
            CheckpointError, match=r"could not be fetched: .*known hash.*, after 1 attempt; try again, or put"
        ),
    ):
        fetch(host.url)
    assert (names(path), notes.retries) == ([], [])


def test_a_file_that_is_there_stays_until_the_right_one_is_whole(fetch, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    with hosting([whole(b"something else"), whole(CONTENT)]) as host:
        with pytest.raises(CheckpointError):
            fetch(host.url)
        assert path.read_bytes() == b"old"
        fetch(host.url)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403])
def test_a_refusal_is_final(status, fetch, path, notes):
    with (
        hosting([refused(status)]) as host,
        pytest.raises(CheckpointError, match=f"the host answers {status} .*, after 1 attempt;"),
    ):
        fetch(host.url)
    assert (names(path), len(host.asked), notes.pauses_s) == ([], 1, [])


def test_a_host_in_trouble_is_asked_again_a_few_times_with_growing_pauses(fetch, path, notes):
    with (
        hosting([refused(503)]) as host,
        pytest.raises(CheckpointError, match="the host answers 503 Service Unavailable, after 3 attempts;"),
    ):
        fetch(host.url)
    assert (names(path), len(host.asked), notes.pauses_s) == ([], 3, [1, 2])


def test_a_broken_connection_is_taken_up_where_it_broke(fetch, path, notes):
    with hosting([broken(CONTENT, HALF), refused(503), whole(CONTENT)]) as host:
        fetch(host.url)
    assert path.read_bytes() == CONTENT
    assert "Range" not in host.asked[0]
    assert [(asked["Range"], asked["If-Range"]) for asked in host.asked[1:]] == [(f"bytes={HALF}-", '"v1"')] * 2
    assert notes.retries[0] == "the connection broke before the file was whole"
    assert notes.held == sorted(notes.held)
    assert notes.totals == {len(CONTENT)}


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_a_host_that_names_no_version_of_the_file_is_asked_for_all_of_it(etag, fetch, path):
    with hosting([broken(CONTENT, HALF, etag=etag), whole(CONTENT, etag=etag)]) as host:
        fetch(host.url)
    assert path.read_bytes() == CONTENT
    assert "Range" not in host.asked[1]


def test_a_file_that_changed_meanwhile_is_begun_anew(fetch, path):
    with hosting([broken(b"x" * len(CONTENT), HALF, etag='"v0"'), whole(CONTENT)]) as host:
        fetch(host.url)
    assert host.asked[1]["If-Range"] == '"v0"'
    assert path.read_bytes() == CONTENT


def test_a_range_that_the_host_does_not_have_is_begun_anew(fetch, path):
    with hosting([broken(CONTENT, HALF), refused(416), whole(CONTENT)]) as host:
        fetch(host.url)
    assert "Range" not in host.asked[2]
    assert path.read_bytes() == CONTENT


def test_a_file_that_stays_truncated_is_one_error_and_nothing_is_kept(fetch, path):
    with (
        hosting([broken(CONTENT, HALF, etag=None)]) as host,
        pytest.raises(CheckpointError, match="the connection broke before the file was whole, after 3 attempts;"),
    ):
        fetch(host.url)
    assert names(path) == []


@pytest.mark.parametrize("answer", [stalled(CONTENT, HALF), silent], ids=["in the middle", "from the start"])
def test_a_host_that_falls_silent_is_given_up(answer, fetch, path):
    with (
        hosting([answer]) as host,
        pytest.raises(CheckpointError, match=r"the host was silent for 0\.05 s, after 3 attempts;"),
    ):
        fetch(host.url, read_s=0.05)
    assert names(path) == []


def test_a_host_that_fell_silent_once_may_go_on(fetch, path, notes):
    with hosting([stalled(CONTENT, HALF), whole(CONTENT)]) as host:
        fetch(host.url, read_s=0.2)
    assert path.read_bytes() == CONTENT
    assert host.asked[1]["Range"] == f"bytes={HALF}-"
    assert notes.retries == ["the host was silent for 0.2 s"]


def test_a_slow_host_is_waited_for_beyond_the_time_that_a_silent_one_gets(fetch, path, notes):
    def drip(request) -> None:
        request.head(len(CONTENT))
        for start in range(0, len(CONTENT), len(CONTENT) // 16):
            request.server.over.wait(0.08)
            request.wfile.write(CONTENT[start : start + len(CONTENT) // 16])

    with hosting([drip]) as host:
        fetch(host.url, read_s=1)
    assert (path.read_bytes(), notes.retries) == (CONTENT, [])


def test_a_host_that_cannot_be_reached_is_said_with_what_to_do(fetch, path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.pth"
        with pytest.raises(CheckpointError) as caught:
            fetch(url)
    said = (
        f"{url} could not be fetched: the host cannot be reached, after 3 attempts; try again, or put the file (sha256 "
    )
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(f") at {path}")


def test_offline_refuses_at_once_and_says_which_file_to_put_where(fetch, path, monkeypatch):
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with hosting([whole(CONTENT)]) as host, pytest.raises(CheckpointError) as caught:
        fetch(host.url)
    digest = sha256(CONTENT).hexdigest()
    assert "ESRBENCH_OFFLINE forbids downloads" in str(caught.value)
    assert f"put the file (sha256 {digest}) at {path}" in str(caught.value)
    assert not host.asked
    assert not path.parent.exists()


@pytest.mark.parametrize(("value", "meant"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_meant_by_any_other_value_than_none_or_zero(value, meant, monkeypatch):
    monkeypatch.setenv(OFFLINE_VARIABLE, value)
    assert offline() is meant


def test_a_folder_that_cannot_be_made_is_one_error(fetch, path):
    path.parent.parent.mkdir()
    path.parent.write_text("a file")
    with (
        hosting([whole(CONTENT)]) as host,
        pytest.raises(OutputError, match=r"cannot be written: .*set ESRBENCH_CACHE"),
    ):
        fetch(host.url)
    assert not host.asked


def _limited(program: str, url: str, **run) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=False, **run)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit of a file's size")
def test_a_disk_that_refuses_is_one_error_and_nothing_is_kept(path):
    program = (
        "import resource, sys; from pathlib import Path; from esrbench.download import *; import pooch, requests\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({HALF}, {HALF}))\n"
        "from esrbench.errors import OutputError\n"
        f"try: download(sys.argv[1], {sha256(CONTENT).hexdigest()!r}, Path({str(path)!r}), Unwatched(), Patience())\n"
        "except OutputError as error: print(error)"
    )
    with hosting([whole(CONTENT)]) as host:
        done = _limited(program, host.url)
    assert f"{path.parent} cannot be written: File too large; make room there" in done.stdout, done.stderr
    assert (names(path), len(host.asked)) == ([], 1)


COMMAND = """
import sys
from esrbench import cli, zoo
from esrbench.architecture import SRVGGNetSpec
source = zoo.Download(sys.argv.pop(1))
zoo.ENTRIES = (zoo.Entry(name="tiny", spec=SRVGGNetSpec(convs=0, features=4), source=source, sha256=sys.argv.pop(1)),)
cli.main()
"""


@pytest.fixture
def command(path):
    """The command line in a process of its own, in a zoo of one model."""

    def start(url: str, *arguments: str) -> "subprocess.Popen[str]":
        digest = sha256(CONTENT).hexdigest()
        program = [sys.executable, "-c", COMMAND, url, digest, "models", *arguments]
        environment = os.environ | {cache.VARIABLE: str(path.parent.parent)}
        pipe = partial(subprocess.Popen, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return pipe(program, env=environment, text=True)

    return start


def test_two_processes_that_fetch_one_file_both_get_it(command, path):
    both = threading.Barrier(2)

    def together(request) -> None:
        both.wait(WAIT_S)  # each is answered when both have asked
        whole(CONTENT)(request)

    with hosting([together]) as host:
        processes = [command(host.url, "--fetch", "tiny") for _ in range(2)]
        said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert [out for out, _ in said] == [f"{path}\n"] * 2
    assert (path.read_bytes(), names(path)) == (CONTENT, ["tiny.pth"])


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")
def test_an_interrupted_command_leaves_nothing_and_says_so(command, path):
    with hosting([stalled(CONTENT, HALF)]) as host:
        process = command(host.url, "--fetch", "tiny")
        assert host.silent.wait(WAIT_S)
        assert process.stderr is not None
        process.stderr.readline()  # half of it has been received
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted: nothing is kept" in said
    assert names(path) == []


def test_the_command_fetches_everything_once_and_prints_plain_lines(command, path):
    with hosting([whole(CONTENT)]) as host:
        said, lines = command(host.url, "--fetch", "all", "--fetch", "tiny").communicate()
    assert said == f"{path}\n"
    assert lines.splitlines()[-1] == "tiny: 0.3 of 0.3 MB"
    assert len(lines.splitlines()) == 5
    assert len(host.asked) == 1


def test_the_command_ends_with_one_message_and_exit_code_two(command, path):
    with hosting([refused(404)]) as host:
        process = command(host.url, "--fetch", "tiny")
        said, message = process.communicate()
    assert (process.returncode, said, names(path)) == (2, "", [])
    assert message.startswith(f"esrbench: {host.url} could not be fetched: the host answers 404 Not Found")
    assert len(message.splitlines()) == 1


def test_a_terminal_gets_a_bar_that_goes_when_the_file_is_here():
    out = StringIO()
    with watching(Console(file=out, force_terminal=True, width=100), "tiny") as watcher:
        watcher.received(1_000_000, 4_000_000)
        watcher.retrying("the connection broke")
        watcher.received(4_000_000, 4_000_000)
    said = out.getvalue()
    assert "tiny: the connection broke; trying again" in said
    assert "4.0/4.0 MB" in said
    assert said.endswith("\x1b[2K")  # the line of the bar is erased


def test_lines_are_said_without_a_known_length_too():
    out = StringIO()
    with watching(Console(file=out), "tiny") as watcher:
        for held in (0, 500_000, 900_000):
            watcher.received(held, None)
    assert out.getvalue() == "tiny: 0.0 MB\n"
