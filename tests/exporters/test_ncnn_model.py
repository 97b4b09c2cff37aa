import subprocess
import sys

import numpy as np
import pytest

from esrbench import zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import sha256_of
from esrbench.errors import ExportError, UnavailableError
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.ncnn_model import NcnnExporter

FP32, FP16 = ExportOptions(precision=Precision.FP32), ExportOptions(precision=Precision.FP16)

UNOFFICIAL = [
    *(RRDBNetSpec(blocks=1, features=6, growth=5, scale=2**n, doublings=n) for n in (0, 1, 3)),
    RRDBNetSpec(blocks=1, features=8, growth=4, scale=2, in_channels=1, out_channels=1),
    RRDBNetSpec(blocks=1, features=8, growth=4, in_channels=4, out_channels=3),
    SRVGGNetSpec(convs=1, features=8, scale=3),
    SRVGGNetSpec(convs=1, features=8, scale=2, in_channels=4, out_channels=4),
    *(SRVGGNetSpec(convs=1, features=8, scale=s, reduced_from=4) for s in (3, 2)),
]


def run(param, picture):
    """(C, H, W) → (C, sH, sW), fp32 on the CPU."""
    ncnn = pytest.importorskip("ncnn")
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.num_threads = 1
    assert net.load_param(str(param)) == 0
    assert net.load_model(str(param.with_suffix(".bin"))) == 0
    extractor = net.create_extractor()
    assert extractor.input("data", ncnn.Mat(picture).clone()) == 0
    status, output = extractor.extract("output")
    assert status == 0
    return np.array(output)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "layers_and_blobs"),
    [("realesrgan-x4plus", "999 1782"), ("realesrgan-x4plus-anime", "268 473"), ("realesr-animevideov3", "40 41")],
)
def test_the_official_files_are_reproduced_byte_for_byte(name, layers_and_blobs, tmp_path):
    param, weights = NcnnExporter().export(zoo.open_model(name), FP16, tmp_path).paths
    assert sha256_of(weights) == zoo.entry(name).sha256
    official = zoo.entry(name).source.path().with_suffix(".param").read_text().splitlines()
    ours = param.read_text().splitlines()
    assert ours[1] == official[1] == layers_and_blobs
    kinds = [[line.split()[0] for line in lines[2:]] for lines in (ours, official)]
    assert kinds[0] == kinds[1]


@pytest.mark.weights
def test_the_real_model_draws_the_same_picture_as_in_torch(tmp_path, picture, expected, psnr_db):
    model = zoo.open_model("realesrgan-x4plus")
    param, _ = NcnnExporter().export(model, FP32, tmp_path).paths
    tile = picture(1, 3, 20, 28)
    assert psnr_db(run(param, tile[0])[None], expected(model, tile)) > 100


def test_every_architecture_and_scale_draws_the_same_picture_as_in_torch(tiny, tmp_path, picture, expected, psnr_db):
    param, _ = NcnnExporter().export(tiny, FP32, tmp_path).paths
    tile = picture(1, 3, 20, 28)
    assert psnr_db(run(param, tile[0])[None], expected(tiny, tile)) > 110


@pytest.mark.parametrize("spec", UNOFFICIAL, ids=str)
def test_unofficial_members_of_the_family_draw_the_same_picture_as_in_torch(
    spec, random_model, tmp_path, picture, expected, psnr_db
):
    model = random_model(spec)
    param, _ = NcnnExporter().export(model, FP32, tmp_path).paths
    tile = picture(1, spec.in_channels, 12, 20)
    assert psnr_db(run(param, tile[0])[None], expected(model, tile)) > 100


def test_fp16_weights_change_the_picture_little_and_halve_the_file(tiny, tmp_path, picture, expected, psnr_db):
    _, whole = NcnnExporter().export(tiny, FP32, tmp_path).paths
    param, half = NcnnExporter().export(tiny, FP16, tmp_path).paths
    assert 0.45 < half.stat().st_size / whole.stat().st_size < 0.65
    tile = picture(1, 3, 20, 28)
    assert psnr_db(run(param, tile[0])[None], expected(tiny, tile)) > 50


def test_weights_beyond_fp16_are_refused(random_model, tmp_path):
    model = random_model(RRDBNetSpec(blocks=1, features=8, growth=4))
    model.weights["conv_hr.weight"][0, 0, 0, 0] = 7e4
    with pytest.raises(ExportError, match=r"conv_hr holds weights beyond fp16's 65504; export fp32"):
        NcnnExporter().export(model, FP16, tmp_path)


def test_other_precisions_are_refused(tiny, tmp_path):
    with pytest.raises(UnavailableError, match="ncnn is not written as bf16; choose one of fp16, fp32"):
        NcnnExporter().export(tiny, ExportOptions(precision=Precision.BF16), tmp_path)


def test_neither_the_exporter_nor_the_zoo_imports_a_heavy_library():
    code = (
        "import sys, esrbench_exporters.ncnn_model, esrbench_exporters.onnx_graph, esrbench_exporters.torchscript, "
        "esrbench_exporters.pytorch, esrbench.export, esrbench.zoo;"
        "print([name for name in ('torch', 'onnx', 'ncnn', 'pooch') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
