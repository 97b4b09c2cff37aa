"""Files that are made to run code, to fill the memory or to hang: refused with one error, before they can."""

import json
import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from esrbench import checkpoints, memory, zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.checkpoints import pickles
from esrbench.errors import CheckpointError

SPEC = SRVGGNetSpec(convs=0, features=77)  # a number that stands in a file where it is meant and nowhere else
MOST_BYTES = 64 << 20  # above what the process held before
FORMATS = [True, False]  # torch >= 1.6, and before


@pytest.fixture
def content(random_model):
    return {name: torch.tensor(array) for name, array in random_model(SPEC).weights.items()}


@pytest.fixture(autouse=True)
def bounded(content, tmp_path):
    """Each test keeps to a little memory and leaves nothing behind."""
    checkpoints.read(save(tmp_path / "warm.pth", content))  # loads torch's reader
    if not memory.reset_peak_rss():
        yield
        return
    before, _ = memory.peak_rss_bytes()
    yield
    after, _ = memory.peak_rss_bytes()
    assert after - before < MOST_BYTES


def save(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def rewrite_pickle(path: Path, old: bytes, new: bytes, *, which: int = 0) -> Path:
    """Change occurrence ``which`` of ``old`` in the file's pickle; its zip archive, if it is one, stays sound."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in entries if name.endswith("data.pkl"))
        entries[name] = rewritten(entries[name], old, new, which)
        with zipfile.ZipFile(path, "w") as archive:
            for entry, data in entries.items():
                archive.writestr(entry, data)
    else:
        path.write_bytes(rewritten(path.read_bytes(), old, new, which))
    return path


def rewritten(data: bytes, old: bytes, new: bytes, which: int) -> bytes:
    head, tail = old.join(data.split(old)[: which + 1]), old.join(data.split(old)[which + 1 :])
    assert old in data
    return head + new + tail


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoints.read(path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice is to load without it


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class Fills:
    def __reduce__(self):
        return bytearray, (1 << 36,)


@pytest.mark.parametrize("zipped", FORMATS)
def test_code_is_named_and_not_run(zipped, content, tmp_path):
    path = save(tmp_path / "a.pth", {"params": content, "x": Runs(tmp_path / "boom")}, zipped=zipped)
    refused(path, "it asks for posix.mkdir, which is no part of a state dict; nothing of it was run")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("zipped", FORMATS)
def test_what_the_restricted_loader_would_allocate_is_refused_first(zipped, content, tmp_path):
    refused(save(tmp_path / "a.pth", content | {"x": Fills()}, zipped=zipped), "bytearray")


@pytest.mark.parametrize(
    "foreign", [torch.nn.Linear(2, 2), {"a": torch.zeros(4).to_sparse()}, {"a": torch.zeros(4, device="meta")}], ids=str
)
def test_what_is_no_plain_tensor_is_refused(foreign, tmp_path):
    refused(save(tmp_path / "a.pth", foreign), "it asks for torch.* no part of a state dict")


def nested_key(depth: int, *, doubled: bool) -> bytes:
    """A pickle of a dictionary whose key is tuples in tuples, each of which may hold the one before twice."""
    wrap = b"q\x00h\x00\x86" if doubled else b"\x85"
    return b"\x80\x02}K\x01\x85" + wrap * depth + b"K\x01s."


@pytest.mark.parametrize("doubled", [True, False])
@pytest.mark.parametrize("zipped", FORMATS)
def test_a_key_that_takes_for_ever_to_hash_is_refused(zipped, doubled, content, tmp_path):
    path = save(tmp_path / "a.pth", {"a": 1}, zipped=zipped)
    rewrite_pickle(path, PLAIN, nested_key(100_000, doubled=doubled)[2:])
    refused(path, "nests tuples more than 8 deep")


ORDERED = b"ccollections\nOrderedDict\n"
TEXT = b"X\x03\x00\x00\x00get"
PLAIN = b"}q\x00X\x01\x00\x00\x00aq\x01K\x01s."


def wide_key(width: int, depth: int) -> bytes:
    """A dictionary's key of tuples, each of which holds the one before so many times: width**depth steps to hash."""
    levels = b"".join(b"(" + (b"h" + bytes([n])) * width + b"tq" + bytes([n + 1]) for n in range(depth))
    return b"K\x01q\x00" + levels + b"}h" + bytes([depth]) + b"K\x01s."


@pytest.mark.parametrize(
    ("pickled", "match"),
    [
        (wide_key(100, 8), "tuple of 100 values|keys are neither"),
        (wide_key(64, 7), "keys are neither"),
        (b"}" + b"\x8a\x09" + (3 * (2**61 - 1)).to_bytes(9, "little") + b"K\x01s.", "keys are neither"),
        (b"}G" + bytes(8) + b"K\x01s.", "keys are neither"),
        (b"}]K\x01s.", "keys are neither"),
        (ORDERED + b")R}" + TEXT + TEXT + b"sb.", "sets attributes"),
        (ORDERED + b")R" + TEXT + b"b.", "sets attributes"),
        (ORDERED + b")R" + ORDERED + b"}" + TEXT + TEXT + b"s\x85Rb.", "sets attributes"),
        (b"}}" + TEXT + TEXT + b"sb.", "sets attributes"),
        (ORDERED + b"]((K\x01K\x01tK\x01ta\x85R.", "makes a dictionary from something that is no dictionary"),
        (ORDERED + b"b.", "IndexError|damaged"),
        (b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.", "calls torch.FloatStorage"),
        (b"ctorch\nFloatStorage\n)\x81.", "calls torch.FloatStorage"),
        (TEXT + b")R.", "calls get"),
        (TEXT + b"Q.", "is no storage of numbers"),
        (b"(K\x01K\x02tQ.", "is no storage of numbers"),
        (b"K\x01K\x01a.", "is no list"),
        (b"]K\x01K\x01s.", "is no dictionary"),
        (b"I" + b"9" * 5000 + b"\n.", "operation INT|damaged"),
        (b"\x8b" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b".", "operation LONG4"),
        (b"\x8f.", "operation EMPTY_SET"),
        (b"0" * 3 + b".", "damaged|POP"),
    ],
)
@pytest.mark.parametrize("zipped", FORMATS)
def test_a_pickle_that_no_state_dict_needs_is_refused_before_it_is_carried_out(
    pickled, match, zipped, content, tmp_path
):
    path = save(tmp_path / "a.pth", {"a": 1}, zipped=zipped)
    refused(rewrite_pickle(path, PLAIN, pickled), match)


def test_a_pickle_of_more_steps_than_any_trainer_needs_is_refused(monkeypatch):
    monkeypatch.setattr(pickles, "MOST_STEPS", 1000)
    with pytest.raises(CheckpointError, match="takes more than 1,000 steps"):
        pickles.check(b"\x80\x02(" + b"K\x01" * 1000 + b"l.")


def test_a_dictionary_that_is_copied_again_and_again_is_refused():
    large = b"}q\x00(" + b"".join(b"M" + n.to_bytes(2, "little") + b"N" for n in range(1 << 10)) + b"u"
    copies = b"ccollections\nCounter\nh\x00\x85R" * 1000
    with pytest.raises(CheckpointError, match="steps"):
        pickles.check(b"\x80\x02" + large + copies + b".")


def test_a_name_of_megabytes_under_which_many_dictionaries_hold_something_is_refused():
    name = b"X" + (1 << 20).to_bytes(4, "little") + b"a." * (1 << 19) + b"q\x00"
    with pytest.raises(CheckpointError, match="steps"):
        pickles.check(b"\x80\x02](}" + name + b"Ns" + b"}h\x00Ns" * 10 + b"e.")


def test_networks_by_the_hundred_are_refused_before_each_is_looked_for(tmp_path):
    names = (f"n{number}.conv_first.weight" for number in range(100))
    refused(save(tmp_path / "a.pth", dict.fromkeys(names, torch.zeros(1))), "holds 100 networks, more than 64")


def test_a_tensor_of_more_dimensions_than_arrays_have_is_refused(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(tmp_path / "a.safetensors", "in 100 dimensions")


def test_what_a_module_says_of_its_versions_is_let_pass(content, tmp_path):
    module = torch.nn.Conv2d(1, 1, 1)
    path = save(tmp_path / "a.pth", {"params": content, "more": module.state_dict()})
    assert checkpoints.read(path).spec == SPEC


@pytest.mark.parametrize("other", ["a/data.pkl", "A/DATA.PKL", "a/Data.pkl", "b/data.pkl"])
@pytest.mark.parametrize("comes_first", [True, False])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_pickle_that_torch_reads_is_the_one_that_is_checked(other, comes_first, content, tmp_path):
    path = save(tmp_path / "a.pth", content)
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    entries.insert(0 if comes_first else len(entries), (other, b"\x80\x02" + wide_key(64, 7)))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    with suppress(CheckpointError):  # either way it ends
        assert checkpoints.read(path).spec == SPEC


def test_an_archive_of_countless_entries_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"PK\x03\x04" + b"PK\x01\x02" * 20_001)
    refused(path, "more than 20,000 entries")


def test_the_vetting_itself_lets_pass_what_torch_writes(tmp_path):
    content = {
        "params": {"a": torch.nn.Parameter(torch.zeros(2)), "b": torch.zeros(2, dtype=torch.bfloat16)},
        "optimizer": {
            "state": {0: {"step": 3, "avg": torch.zeros(2, dtype=torch.float8_e4m3fn)}},
            "betas": (0.9, 0.99),
        },
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "more": [None, True, 1 << 40, "text", {"c": torch.zeros(2, dtype=torch.uint16)}],
    }
    path = save(tmp_path / "a.pth", content)
    with zipfile.ZipFile(path) as archive:
        pickles.check(archive.read("a/data.pkl"))


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path):
    path = tmp_path / "bomb.pth"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/data/0", "w", force_zip64=True) as entry,
    ):
        for _ in range(256):
            entry.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    refused(path, "would unfold to 268,435,456; no checkpoint is compressed")


def test_a_flipped_bit_in_a_zip_archive_is_found_by_its_checksum(content, tmp_path):
    path = save(tmp_path / "a.pth", content)
    with zipfile.ZipFile(path) as archive:
        weights = max(archive.infolist(), key=lambda entry: entry.file_size)
    damaged = bytearray(path.read_bytes())
    damaged[weights.header_offset + 300] ^= 1
    path.write_bytes(damaged)
    refused(path, f"{weights.filename} in it does not have its checksum: it is damaged")


@pytest.mark.parametrize("count", [10**9, 10**12, 2**62])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("zipped", FORMATS)
def test_weights_that_are_announced_and_not_there_are_refused(zipped, which, count, content, tmp_path):
    path = save(tmp_path / "a.pth", {"body.0.bias": content["body.0.bias"]}, zipped=zipped)
    announced = b"\x8a\x09" + count.to_bytes(9, "little")
    refused(rewrite_pickle(path, b"KM", announced, which=which), "cannot be read as a PyTorch|announces .* numbers")


def test_a_few_bytes_that_are_repeated_into_gigabytes_are_refused(content, tmp_path):
    huge = torch.zeros(1, dtype=torch.float16).expand(1 << 18, 1 << 18)  # strides of zero
    refused(save(tmp_path / "a.pth", content | {"body.0.weight": huge}), "holds tensors of .* MiB")


def test_a_file_larger_than_any_checkpoint_is_not_read(tmp_path):
    path = tmp_path / "a.pth"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # sparse: takes no room
    refused(path, "has 1024 MiB, checkpoints may have 1024; is it one")


def test_a_state_dict_wrapped_again_and_again_is_refused(content, tmp_path):
    for _ in range(4):
        content = {"params": content}
    refused(save(tmp_path / "a.pth", content), "wrapped more than 3 times")


def test_a_state_dict_that_holds_itself_is_refused(tmp_path):
    content: dict[str, object] = {}
    content["params"] = content
    refused(save(tmp_path / "a.pth", content), "holds no tensors of a network, but params")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (3, torch.zeros(4), "holds a int where a parameter's name should be"),
        ("module.body.0.bias", torch.zeros(4), "two of its tensors are body.0.bias"),
        ("body.0.bias", torch.zeros(4, dtype=torch.complex64), "body.0.bias holds complex64"),
        ("body.0.bias", torch.zeros(4, dtype=torch.bool), "body.0.bias holds bool"),
        ("body.0.bias", "text", "body.0.bias is a str, not a tensor"),
    ],
)
def test_names_and_values_that_no_parameter_has_are_refused(key, value, match, content, tmp_path):
    refused(save(tmp_path / "a.pth", content | {key: value}), match)


@pytest.mark.parametrize("reduced_to", [0, -1, 9, True, 1 << 70])
def test_a_reduction_that_cannot_be_is_refused_or_passed_over(reduced_to, content, tmp_path):
    path = save(tmp_path / "a.pth", {"params": content, "reduced_to": reduced_to})
    if reduced_to is True:
        assert checkpoints.read(path).spec == SPEC
    else:
        refused(path, "of no network known here")


def test_doublings_without_end_are_refused(random_model, tmp_path):
    spec = RRDBNetSpec(blocks=1, features=1, growth=1)
    shapes = spec.parameter_shapes() | {
        f"conv_up{n}.{kind}": shape for n in range(3, 9) for kind, shape in (("weight", (1, 1, 3, 3)), ("bias", (1,)))
    }
    path = save(tmp_path / "a.pth", {name: torch.zeros(shape) for name, shape in shapes.items()})
    refused(path, "8 doublings")


@pytest.mark.parametrize("protocol", [0, 1, 4, 5])
def test_a_bare_pickle_is_refused(protocol, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"\x80\x02" + pickle.dumps({"a": 1}, protocol))
    refused(path, r"a\.pth")


def test_other_archives_are_refused_by_what_they_are(tmp_path):
    program = tmp_path / "program.pth"
    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/code/__torch__.py", "")
    refused(program, "it is a TorchScript archive, a program")
    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr("letter.txt", "hello")
    refused(program, "it is a zip archive, but not one that torch.save wrote")


@pytest.mark.parametrize("announced", [10**10, 2**61, 2**63])
def test_a_safetensors_header_that_announces_gigabytes_is_refused(announced, tmp_path):
    header = {"body.0.weight": {"dtype": "F32", "shape": [announced], "data_offsets": [0, 4 * announced]}}
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    for length in (len(text), announced):
        path.write_bytes(length.to_bytes(8, "little") + text + bytes(16))
        refused(path, "is not a safetensors file, or is damaged")


@pytest.mark.parametrize(
    ("kind", "old", "new", "match"),
    [
        ("Convolution", "0=77 ", "0=100000000000 ", "which fill no 3×3 kernels"),
        ("Convolution", "6=2079", "6=99999999999999999999", "fill no|truncated"),
        ("Convolution", "6=2079", "6=2079000000000", "is truncated: it ends before"),
        ("PReLU", "0=77", "0=77000000000", "is truncated: it ends before"),
        ("PReLU", "0=77", "0=-77", "is truncated"),
        ("PixelShuffle", "0=4", "0=1e300", "it is no SRVGGNetCompact"),
        ("Interp", "1=4.000000e+00 2=4.000000e+00", "1=inf 2=inf", "parameter 1 is inf"),
        ("Interp", "0=1 1=4.000000e+00 2=4.000000e+00", "0=3 1=1e308 2=1e308", "is damaged|no whole scale"),
    ],
)
def test_an_ncnn_layer_that_announces_gigabytes_is_refused(kind, old, new, match, random_model, tmp_path):
    from esrbench.exporter import ExportOptions
    from esrbench_exporters.ncnn_model import NcnnExporter

    param = NcnnExporter().export(random_model(SPEC), ExportOptions(), tmp_path).paths[0]
    lines = param.read_text().split("\n")
    line = next(index for index, line in enumerate(lines) if line.startswith(kind))
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    param.write_text("\n".join(lines))
    refused(param, match)


def test_an_ncnn_text_larger_than_any_is_not_read(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(4))
    path = tmp_path / "a.param"
    with path.open("wb") as file:
        file.truncate((4 << 20) + 1)
    refused(path, "has more than 4 MiB")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".param", ".bin"])
@pytest.mark.parametrize("kind", ["pipe", "link to a device", "link to nothing", "link to itself", "huge"])
def test_what_is_no_file_of_some_size_is_refused_unread(kind, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    for file in (path.with_suffix(".param"), path.with_suffix(".bin")) if suffix in (".param", ".bin") else (path,):
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "huge":
            with file.open("wb") as sparse:
                sparse.truncate(20 << 30)
        else:
            target = {"link to a device": "/dev/zero", "link to nothing": "none", "link to itself": file.name}[kind]
            file.symlink_to(target)
    for ask in (checkpoints.read, lambda path: zoo.locate(str(path))):
        with pytest.raises(CheckpointError, match=r"is a pipe|no such file|MiB|too many|Too many"):
            ask(path)


def test_a_link_to_a_checkpoint_is_read(content, tmp_path):
    (tmp_path / "link.pth").symlink_to(save(tmp_path / "a.pth", content))
    assert checkpoints.read(tmp_path / "link.pth").spec == SPEC


def test_a_safetensors_header_of_countless_tensors_is_refused(tmp_path):
    entry = b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
    header = b"{" + b"".join(entry % n for n in range(90_000))[:-1] + b"}"
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refused(path, "has a header of more than 4 MiB")
