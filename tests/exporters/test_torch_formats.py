import subprocess
import sys

import pytest
import torch

from esrbench import checkpoints, model
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.errors import UnavailableError, UsageError
from esrbench.exporter import ExportOptions, Model
from esrbench.target import Precision
from esrbench_exporters.aot_inductor import AotInductorExporter
from esrbench_exporters.openvino_ir import OpenvinoExporter
from esrbench_exporters.pytorch import PytorchExporter
from esrbench_exporters.torch_export import TorchExportExporter
from esrbench_exporters.torchscript import TorchscriptExporter
from esrbench_exporters.traced_program import DTYPES

FP16 = ExportOptions(precision=Precision.FP16)


def test_a_checkpoint_comes_back_as_it_was(tiny, tmp_path):
    (path,) = PytorchExporter().export(tiny, ExportOptions(), tmp_path).paths
    assert path.name == "tiny.pth"
    read = checkpoints.read(path)
    assert (read.spec, read.weights_sha256) == (tiny.spec, tiny.weights_sha256)
    saved = torch.load(path, weights_only=True)
    assert saved.keys() == {"params_ema"}
    model.build(tiny.spec).load_state_dict(saved["params_ema"], strict=True)


def test_torchscript_draws_the_same_picture_at_any_size(tiny, tmp_path, picture, expected, psnr_db, load_torchscript):
    (path,) = TorchscriptExporter().export(tiny, ExportOptions(), tmp_path).paths
    assert path.name == "tiny.ts.pt"
    net = load_torchscript(path)
    for shape in ((2, 3, 20, 28), (1, 3, 32, 8)):
        pictures = picture(*shape)
        with torch.inference_mode():
            found = net(torch.from_numpy(pictures)).numpy()
        assert psnr_db(found, expected(tiny, pictures)) > 110


def test_fp16_torchscript_holds_and_draws_halves(tiny, tmp_path, picture, expected, psnr_db, load_torchscript):
    (path,) = TorchscriptExporter().export(tiny, FP16, tmp_path).paths
    assert path.name == "tiny-fp16.ts.pt"
    net = load_torchscript(path)
    assert {weight.dtype for weight in net.parameters()} == {torch.float16}
    pictures = picture(1, 3, 12, 12)
    with torch.inference_mode():
        found = net(torch.from_numpy(pictures).half()).float().numpy()
    assert psnr_db(found, expected(tiny, pictures)) > 45


def test_no_script_unfolds_its_picture(tiny, tmp_path, load_torchscript):
    """As one strided convolution the fold is known to every runtime that reads TorchScript."""
    (path,) = TorchscriptExporter().export(tiny, ExportOptions(), tmp_path).paths
    assert "pixel_unshuffle" not in str(load_torchscript(path).inlined_graph)


HALVES = {Precision.FP32: 110, Precision.FP16: 45, Precision.BF16: 40}


@pytest.mark.parametrize("precision", HALVES)
def test_an_exported_program_draws_the_same_picture_at_any_size(precision, tiny, tmp_path, picture, expected, psnr_db):
    (path,) = TorchExportExporter().export(tiny, ExportOptions(precision=precision), tmp_path).paths
    assert path.name == ("tiny.pt2" if precision is Precision.FP32 else f"tiny-{precision.value}.pt2")
    net = torch.export.load(path).module()
    assert {weight.dtype for weight in net.parameters()} == {DTYPES[precision]}
    fold = tiny.spec.unshuffle
    for count, height, width in ((2, 24, 24), (1, 36, 52), (1, fold, 48)):
        pictures = picture(count, 3, height, width)
        found = net.float()(torch.from_numpy(pictures)).detach().numpy()
        assert psnr_db(found, expected(tiny, pictures)) > HALVES[precision]


def test_an_exported_program_of_one_size_takes_no_other(random_model, tmp_path, picture):
    tiny = random_model(SRVGGNetSpec(convs=1, features=8))
    (path,) = TorchExportExporter().export(tiny, ExportOptions(shape=(1, 10, 12)), tmp_path).paths
    net = torch.export.load(path).module()
    net(torch.from_numpy(picture(1, 3, 10, 12)))
    with pytest.raises(AssertionError, match="Guard failed"):
        net(torch.from_numpy(picture(1, 3, 10, 13)))


def test_an_exported_program_loads_without_this_package_and_says_what_it_is(random_model, tmp_path):
    tiny = random_model(SRVGGNetSpec(convs=1, features=8))
    (path,) = TorchExportExporter().export(tiny, ExportOptions(), tmp_path).paths
    code = f"""
import sys
sys.modules["esrbench"] = None
import torch
facts = {{"model": "", "weights_sha256": ""}}
net = torch.export.load({str(path)!r}, extra_files=facts).module()
assert net(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 20, 28)
print(facts["model"], facts["weights_sha256"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["tiny", tiny.weights_sha256]


@pytest.mark.parametrize("exporter", [TorchExportExporter(), OpenvinoExporter(), AotInductorExporter()])
def test_one_size_that_the_network_cannot_fold_is_refused(exporter, tmp_path):
    model = Model(name="tiny", spec=RRDBNetSpec(blocks=1, scale=2), weights={}, weights_sha256="", source="")
    with pytest.raises(UsageError, match="needs sides that 2 divides, 37×53 was asked for"):
        exporter.export(model, ExportOptions(shape=(1, 37, 53)), tmp_path)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_openvinos_own_files_draw_the_same_picture_at_any_size(precision, tiny, tmp_path, picture, expected, psnr_db):
    openvino = pytest.importorskip("openvino")
    paths = OpenvinoExporter().export(tiny, ExportOptions(precision=precision), tmp_path).paths
    assert [path.suffix for path in paths] == [".xml", ".bin"]
    text = paths[0].read_text(encoding="utf-8")
    assert tiny.weights_sha256 in text
    assert str(tmp_path) not in text
    core = openvino.Core()
    net = core.compile_model(core.read_model(paths[0]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count, height, width in ((2, 24, 24), (1, tiny.spec.unshuffle, 48)):
        pictures = picture(count, 3, height, width)
        assert psnr_db(net({"input": pictures})["output"], expected(tiny, pictures)) > HALVES[precision]


def test_without_a_compiler_aotinductor_says_what_to_install(random_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="neither g\\+\\+ nor clang\\+\\+ is here; install one"):
        AotInductorExporter().export(random_model(RRDBNetSpec(blocks=1)), ExportOptions(), tmp_path)


@pytest.fixture
def load_torchscript():
    """Torch's loader, without its deprecation warning."""

    def load(path):
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
            return torch.jit.load(path)

    return load
