"""A user without a home folder, and names of files that are not UTF-8."""

import os
import sys
from pathlib import Path

import platformdirs
import pytest

from esrbench import cache, checkpoints, codec, zoo
from esrbench.errors import CheckpointError, UnknownNameError

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of files are bytes there")
NAME = os.fsdecode(b"z\xff\xfe.pth")


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    def raises(_):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", raises)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache._without_home.cache_clear()
    yield tmp_path
    cache._without_home.cache_clear()


def test_without_a_home_the_cache_is_a_private_folder_that_is_kept(homeless):
    folder = cache.folder()
    cache._without_home.cache_clear()
    assert folder == cache.folder()
    assert folder.parent == homeless
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("what", ["file", "link", "open folder"])
def test_a_cache_that_somebody_else_may_have_filled_is_not_used(what, homeless):
    taken = homeless / f".esrbench-cache-{os.getuid()}"
    if what == "file":
        taken.touch()
    elif what == "link":
        (homeless / "theirs").mkdir(mode=0o700)
        taken.symlink_to("theirs")
    else:
        taken.mkdir()
        taken.chmod(0o777)
    assert cache.folder() != taken
    assert cache.folder().stat().st_mode & 0o077 == 0


def test_the_home_of_a_user_who_is_not_there_is_a_path_like_any_other(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "~nobody-here/cache")
    assert cache.folder() == Path("~nobody-here/cache")
    with pytest.raises(CheckpointError, match="no such file"):
        zoo.locate("~nobody-here/a.pth")
    with pytest.raises(UnknownNameError):
        zoo.locate("~nobody-here")


@pytest.mark.parametrize(
    "value", [{"a": NAME}, {NAME: "\\udcff \u00e9 \U0001f48f"}, ["\\", "\udcff", "\\\udcff", "\\\\udc80"]]
)
def test_json_holds_names_that_are_not_utf8_and_gives_them_back(value):
    document = codec.encode(value)
    assert document.isascii()
    assert codec.decode(document, type(value), "it") == value
    assert codec.decode(codec.encode(document.decode()), str, "it") == document.decode()


@pytest.mark.parametrize("name", ["a", NAME])
def test_infinity_is_null_whatever_the_names(name):
    assert codec.decode(codec.encode({name: [float("inf"), float("nan")]}), dict, "it") == {name: [None, None]}


@LINUX
def test_a_model_of_such_a_name_has_one_that_can_be_written(random_model, tmp_path):
    import torch

    from esrbench.architecture import SRVGGNetSpec

    weights = random_model(SRVGGNetSpec(convs=0, features=4)).weights
    with (tmp_path / NAME).open("wb") as file:
        torch.save({name: torch.tensor(array) for name, array in weights.items()}, file)
    for model in (checkpoints.read(tmp_path / NAME), zoo.open_model(str(tmp_path / NAME))):
        assert model.name == "z\ufffd\ufffd"
        assert model.source == "file z\ufffd\ufffd.pth"
