"""A disk that is full or read-only: one message, exit code 2, nothing half-written, the cache as it was."""

import mmap

import pytest
from disks import disk

SIZE_BYTES = 4 << 20  # of the disk: many times what the tiny model takes
PAGE_BYTES = mmap.PAGESIZE  # what a file in memory takes is a multiple of it


@pytest.fixture
def small(tmp_path):
    with disk(tmp_path / "small", SIZE_BYTES) as mounted:
        yield mounted


@pytest.fixture
def export(esrbench, tiny_checkpoint):
    return lambda format_, out, *more: esrbench("export", tiny_checkpoint, "--format", format_, "--out", out, *more)


@pytest.fixture
def cache_there(small, environment):
    environment["ESRBENCH_CACHE"] = str(small.folder / "cache")
    return small.folder / "cache"


def everything(folder):
    """Path → bytes of each file, None of each folder; the filler aside."""
    return {path: None if path.is_dir() else path.read_bytes() for path in folder.rglob("*") if path.name != "filler"}


def refused(done, message):
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("format_", "left_bytes"), [("ncnn", 0), ("ncnn", 32 << 10), ("onnx", 32 << 10), ("torchscript", 32 << 10)]
)
def test_a_full_cache_refuses_an_export_and_keeps_what_it_has(
    format_, left_bytes, cache_there, small, export, tmp_path
):
    assert export("ncnn", "out", "--precision", "fp16").returncode == 0
    before = everything(cache_there)
    small.fill(but_bytes=left_bytes)
    refused(export(format_, "other"), "make room there, or set ESRBENCH_CACHE to a folder that can be written")
    assert everything(cache_there) == before
    assert not (tmp_path / "other").exists()
    assert export("ncnn", "out", "--precision", "fp16").returncode == 0


def test_a_read_only_cache_refuses_an_export_and_still_gives_what_it_has(cache_there, small, export, tmp_path):
    assert export("ncnn", "out").returncode == 0
    before = everything(cache_there)
    small.forbid_writing()
    refused(export("ncnn", "other", "--precision", "fp16"), "Read-only file system; make room there, or set ESRBENCH_")
    assert not (tmp_path / "other").exists()
    assert export("ncnn", "again").returncode == 0
    assert everything(cache_there) == before


@pytest.mark.parametrize("fitting", [0, 1, 2])
def test_a_full_folder_for_exports_gets_all_files_or_none(fitting, small, export, tmp_path):
    assert export("ncnn", "out").returncode == 0
    files = [tmp_path / "out" / name for name in ("tiny.param", "tiny.bin")]  # and a description, which never fits
    small.fill(but_bytes=sum(-(-path.stat().st_size // PAGE_BYTES) * PAGE_BYTES for path in files[:fitting]))
    refused(export("ncnn", small.folder / "out"), "cannot be written: No space left on device")
    assert everything(small.folder) == {}


def test_a_read_only_folder_for_exports_is_refused(small, export):
    small.forbid_writing()
    refused(export("ncnn", small.folder / "out"), "Read-only file system; choose another --out")
