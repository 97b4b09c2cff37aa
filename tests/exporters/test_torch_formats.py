import pytest
import torch

from esrbench import checkpoints, model
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.pytorch import PytorchExporter
from esrbench_exporters.torchscript import TorchscriptExporter

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


@pytest.fixture
def load_torchscript():
    """Torch's loader, without its deprecation warning."""

    def load(path):
        import warnings

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
            return torch.jit.load(path)

    return load
