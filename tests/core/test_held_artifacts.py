"""A run measures the files that were exported, whatever happens to the cache or to its own copies meanwhile."""

import errno
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from staged import ARTIFACT, Stage

from esrbench import held_artifacts
from esrbench.artifact import LocatedArtifact, describe_file, is_whole
from esrbench.errors import ArtifactError
from esrbench.held_artifacts import HeldArtifacts
from esrbench.record import Status
from esrbench.target import REFERENCE, Target

FAKE = Target("fake@cpu:fp32")


@pytest.fixture
def source(tmp_path) -> LocatedArtifact:
    cache = tmp_path / "cache"
    cache.mkdir()
    files = []
    for name in ("m.param", "m.bin"):
        (cache / name).write_text(f"the weights of {name}")
        files.append(describe_file(cache / name))
    return LocatedArtifact(artifact=msgspec.structs.replace(ARTIFACT.artifact, files=tuple(files)), folder=str(cache))


def hold(tmp_path: Path, *sources: LocatedArtifact) -> HeldArtifacts:
    return HeldArtifacts(tmp_path / "scratch" / "artifacts", sources)


def test_a_cache_that_is_emptied_costs_the_run_nothing(source, tmp_path):
    held = hold(tmp_path, source, source)
    shutil.rmtree(source.folder)
    found = held.checked(source)
    assert is_whole(found)
    assert Path(found.folder).parent == tmp_path / "scratch" / "artifacts"
    assert len(list(Path(found.folder).parent.iterdir())) == 1


def test_a_byte_that_changes_in_the_cache_changes_no_copy(source, tmp_path):
    held = hold(tmp_path, source)
    with source.path(1).open("r+b") as file:
        file.write(b"T")
    assert held.checked(source).path(1).read_text() == "the weights of m.bin"


@pytest.mark.parametrize("damage", ["flipped", "removed", "link"])
def test_a_copy_that_was_changed_is_made_again(source, tmp_path, damage):
    held = hold(tmp_path, source)
    copy = held.checked(source).path(1)
    outside = tmp_path / "outside"
    outside.write_text("precious")
    match damage:
        case "flipped":
            copy.write_bytes(b"X" + copy.read_bytes()[1:])
        case "removed":
            copy.unlink()
        case "link":
            copy.unlink()
            copy.symlink_to(outside)
    found = held.checked(source)
    assert found.path(1) == copy
    assert is_whole(found)
    assert outside.read_text() == "precious"


def test_where_neither_is_what_was_exported_it_is_refused_in_words(source, tmp_path):
    held = hold(tmp_path, source)
    held.checked(source).path(0).write_text("changed")
    source.path(0).write_text("changed too")
    with pytest.raises(ArtifactError, match=r"m\.param is no longer what was exported, neither in .*cache nor"):
        held.checked(source)


def test_without_room_for_a_copy_the_caches_own_files_are_used_and_checked(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(held_artifacts.shutil, "copyfile", full)
    held = hold(tmp_path, source)
    assert held.checked(source) == source
    assert not list((tmp_path / "scratch" / "artifacts").iterdir())
    source.path(1).write_text("changed")
    with pytest.raises(ArtifactError):
        held.checked(source)


def lost(stage: Stage, sequences: set[int]) -> None:
    def before_launch(sequence: int) -> None:
        if sequence in sequences:
            raise ArtifactError("m.param is no longer what was exported")

    stage.before_launch = before_launch


def test_what_was_measured_before_its_artifact_was_lost_stays_as_it_is(tmp_path, monkeypatch):
    stage = Stage(tmp_path, {REFERENCE: 10, FAKE: 2}, max_rounds=3)
    lost(stage, set(range(2, 100)))
    end = stage.run(monkeypatch)
    assert end is not None
    assert {(launch.case.target, launch.round, launch.status) for launch in stage.recorded.launches} == {
        (FAKE, 0, Status.OK),
        (REFERENCE, 0, Status.OK),
    }
    said = [note for note in end.notes if "was not launched again: m.param is no longer" in note]
    assert len(said) == 2


def test_a_case_whose_artifact_is_lost_before_its_first_launch_says_so(tmp_path, monkeypatch):
    stage = Stage(tmp_path, {REFERENCE: 10, FAKE: 2}, max_rounds=1)
    lost(stage, {0})
    stage.run(monkeypatch)
    first, second = stage.recorded.launches
    assert (first.status, first.reason) == (Status.ERROR, "m.param is no longer what was exported")
    assert second.status is Status.OK
