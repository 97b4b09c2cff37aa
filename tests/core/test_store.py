"""The write-once folder of a run."""

import json
import os
from pathlib import Path

import pytest
from recorded import TORCH, launch, write_run

from esrbench import store
from esrbench.case_summary import summarise
from esrbench.errors import OutputError, RecordError
from esrbench.record import Warmup


def test_a_file_is_never_written_twice(tmp_path):
    store.write_once(tmp_path / "a.json", b"first")
    with pytest.raises(OutputError, match="write-once"):
        store.write_once(tmp_path / "a.json", b"second")
    assert (tmp_path / "a.json").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        store.write_once(tmp_path / "a.json", b"data")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path):
    (tmp_path / f".a.json.{os.getpid()}.partial").write_bytes(b"half of someth")
    store.write_once(tmp_path / "a.json", b"whole")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"whole"}


def test_what_was_left_may_be_the_file_itself_which_is_still_never_written_twice(tmp_path):
    store.write_once(tmp_path / "a.json", b"first")
    (tmp_path / f".a.json.{os.getpid()}.partial").hardlink_to(tmp_path / "a.json")  # killed just before the clean-up
    with pytest.raises(OutputError, match="write-once"):
        store.write_once(tmp_path / "a.json", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.json": b"first"}


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        store.check_new_folder(tmp_path)


def test_an_empty_or_missing_folder_will_do(tmp_path):
    store.check_new_folder(tmp_path)
    store.check_new_folder(tmp_path / "new")


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match="exists already"):
        store.check_new_folder(tmp_path / "run")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(RecordError, match="holds no readable run"):
        store.read_run(tmp_path)


def test_another_schema_version_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"schema_version": 99, "something": "else"}')
    with pytest.raises(RecordError, match="schema version 99"):
        store.read_run(tmp_path)


def older(path, version, **changes):
    """Make a record's file one of an older version, without digests."""
    old = json.loads(path.read_text()) | changes
    new = ("previous_sha256", "launches", "last_sha256", "files")
    path.write_text(json.dumps({name: old[name] for name in old if name not in new} | {"schema_version": version}))


def test_a_run_of_schema_one_is_read_with_what_it_lacks_as_not_recorded(tmp_path):
    run = write_run(tmp_path / "run", [launch(TORCH)])
    samples = json.loads((run.folder / "launches" / "0000.json").read_text())["samples"]
    del samples["warmups"], samples["new_shape"]
    older(run.folder / "launches" / "0000.json", 1, samples=samples | {"warmup_ns": [5, 4]})
    for name in ("run.json", "end.json"):
        older(run.folder / name, 1)
    read = store.read_run(run.folder)
    assert (run.chained, read.chained) == (True, False)
    found = read.launches[0].samples
    assert found.new_shape is None
    assert found.warmups == (Warmup(tiles=None, times_ns=(5, 4), steady=None),)
    assert found.tile_ns == run.launches[0].samples.tile_ns


def test_every_curated_run_can_be_read():
    folders = [path.parent for path in (Path(__file__).parents[2] / "results" / "curated").rglob("run.json")]
    assert folders
    for folder in folders:
        run = store.read_run(folder)
        assert any(row.ranked for row in summarise(run))


def test_a_record_that_is_no_json_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RecordError, match=r"run\.json is not a valid"):
        store.read_run(tmp_path)


def test_a_record_can_be_read_by_others(tmp_path):
    before = os.umask(0o022)
    try:
        store.write_once(tmp_path / "a.json", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644
