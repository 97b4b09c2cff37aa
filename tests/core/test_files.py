"""Files that may come from anybody: what is not a small regular file is refused at once, in words."""

import os
import sys

import pytest

from esrbench import codec, store
from esrbench.errors import RecordError, UsageError
from esrbench.record import RunEnd
from esrbench.suite import load
from esrbench.system import files

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="links, pipes and devices as Linux has them")


@linux
@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "record.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "other").write_text("{}")
        path.symlink_to({"link": "other", "dangling link": "nowhere", "device": "/dev/zero"}[kind])
    with pytest.raises(OSError, match="only regular files are read"):
        files.read(path, 100)


def test_a_file_is_read_up_to_its_limit_and_refused_above_it(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"x" * 100)
    assert files.read(path, 100) == b"x" * 100
    with pytest.raises(OSError, match="it has 100 bytes, 99 are read at most"):
        files.read(path, 99)


def test_a_sparse_file_of_twenty_gigabytes_is_refused_by_its_size(tmp_path):
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(20 << 30)
    with pytest.raises(RecordError, match="21474836480 bytes"):
        store.read_run(tmp_path)


SUITE = 'name = "s"\nmodel = "realesrgan-x4plus"\n[[workloads]]\nimage = "astronaut"\ntile = 64\nhalo = 10\n'


@linux
def test_a_suite_may_be_a_link_as_its_user_named_it(tmp_path):
    (tmp_path / "real.toml").write_text(SUITE)
    (tmp_path / "s.toml").symlink_to("real.toml")
    assert load(str(tmp_path / "s.toml")) == load(str(tmp_path / "real.toml"))


@linux
@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a device", "huge"])
def test_a_suite_that_is_no_small_regular_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "s.toml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(20 << 30)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe" if kind == "link to a pipe" else "/dev/zero")
    with pytest.raises(UsageError, match="read at most" if kind == "huge" else "only regular files are read"):
        load(str(path))


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"ended_at": "\xff"}',
        b"1" + b"0" * 5000,
        b'{"schema_version": 1' + b"0" * 5000 + b"}",
        b"[]",
        b"",
    ],
    ids=["too deep", "no UTF-8", "a number too large", "a version too large", "a list", "nothing"],
)
def test_what_is_no_record_is_refused_with_one_error_that_names_it(data):
    with pytest.raises(RecordError, match=r"^end\.json is not a valid RunEnd: .+; get the file again$"):
        codec.decode(data, RunEnd, "end.json")


@pytest.mark.parametrize("target", ["{}", "7", '"torch@cpu"', f'"torch@cpu{"9" * 5000}:fp32"'])
def test_a_target_that_is_none_is_refused(target):
    with pytest.raises(RecordError, match="is not a valid") as raised:
        codec.decode(f'{{"target": {target}}}'.encode(), store.TuningRecord, "a tuning")
    assert len(str(raised.value)) < 400
