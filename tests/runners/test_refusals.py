"""What runners refuse: libraries that are not there, and sessions that are not where they should be."""

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from esrbench import plugins, probe
from esrbench.artifact import NCNN, ONNX, PYTORCH, Format, LocatedArtifact
from esrbench.availability import library
from esrbench.errors import EsrbenchError, OutOfMemoryError, PlacementError, UnavailableError
from esrbench.runner import LoadOptions
from esrbench.settings import Settings
from esrbench.target import Precision, Target
from esrbench.translation import translated

GetArtifact = Callable[[Format, Precision], LocatedArtifact]

OPTIONS = LoadOptions(threads=1, tile_shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("ncnn", ["ncnn@cpu:fp32", "ncnn@cpu:bf16", "ncnn@vulkan:fp32", "ncnn@vulkan:fp16"]),
        (
            "onnxruntime",
            [
                *("onnxruntime@cpu:fp32", "onnxruntime@cpu:int8"),
                *("onnxruntime@cuda:fp32", "onnxruntime@cuda:tf32", "onnxruntime@cuda:fp16"),
            ],
        ),
        ("openvino", ["openvino@cpu:fp32", "openvino@cpu:bf16", "openvino@cpu:fp16", "openvino@cpu:int8"]),
    ],
)
def test_a_runtime_that_is_not_installed_lists_its_targets_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, targets: list[str]
) -> None:
    find: Callable[[str], ModuleSpec | None] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda each: None if each == name else find(each))
    found = plugins.runner(name).targets()
    assert [entry.target for entry in found] == targets
    assert {entry.usable for entry in found} == {False}
    assert {entry.reason for entry in found} == {f"{name} is not installed"}
    assert {entry.remedy for entry in found} == {f"pip install 'esrbench[{name}]'"}


def test_a_library_that_cannot_be_imported_is_refused_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("raise ImportError('libmissing.so.1 is not there')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnavailableError, match=r"cannot be imported: libmissing.so.1 is not there; reinstall it"):
        library("half_installed", "half-installed")


def test_openvino_that_compiles_fp32_is_not_taken_for_bf16(get_artifact: GetArtifact) -> None:
    from esrbench_runners.openvino_model import OpenvinoSession

    if probe.ask(["openvino"]).of(Target("openvino@cpu:bf16")).usable:
        pytest.skip("this CPU has bf16")
    core = library("openvino", "openvino").Core()
    artifact = get_artifact(ONNX, Precision.FP32)
    with pytest.raises(PlacementError, match=r"bf16 was asked for, OpenVINO compiled its convolutions as {'f32': 21}"):
        OpenvinoSession(core, artifact, Target("openvino@cpu:bf16"), OPTIONS, "CPU")


def test_onnxruntime_that_would_run_on_the_cpu_is_not_taken_for_cuda(get_artifact: GetArtifact) -> None:
    from esrbench_runners.onnx_session import OnnxSession

    if probe.ask(["onnxruntime"]).targets[-1].usable:
        pytest.skip("this machine has CUDA")
    runtime = library("onnxruntime", "onnxruntime")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA")
    artifact = get_artifact(ONNX, Precision.FP32)
    with pytest.raises(PlacementError, match="CUDA was asked for, onnxruntime would run on the CPU"):
        OnnxSession(runtime, artifact, Target("onnxruntime@cuda:fp32"), OPTIONS)


def test_openvino_has_no_fp16_where_the_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from esrbench_runners.openvino_model import OpenvinoRunner

    class Core:
        def __init__(self, *capabilities: str) -> None:
            self.capabilities = capabilities

        def get_property(self, _device: str, name: str) -> object:
            return "a CPU" if name == "FULL_DEVICE_NAME" else self.capabilities

    def usable(*capabilities: str) -> dict[str, bool]:
        monkeypatch.setattr(OpenvinoRunner, "_core", lambda _: Core(*capabilities))
        return {entry.target.precision.value: entry.usable for entry in OpenvinoRunner().targets()}

    assert usable("FP32") == {"fp32": True, "bf16": False, "fp16": False, "int8": True}
    assert usable("FP32", "BF16") == {"fp32": True, "bf16": True, "fp16": False, "int8": True}
    assert usable("FP32", "BF16", "FP16") == {"fp32": True, "bf16": True, "fp16": True, "int8": True}


def test_a_tile_that_cannot_fit_a_device_is_refused_in_words(get_artifact: GetArtifact) -> None:
    from esrbench_runners import ncnn_settings

    spec = get_artifact(NCNN, Precision.FP32).artifact.spec
    target = Target("ncnn@vulkan:fp16")
    pixels_that_fit = 64 * 1024**2 // (2 * 8 * 16 * 2)  # of 64 MiB: input and output, 8 features, ×4 twice, halves
    ncnn_settings.check_fits(target, "a GPU", 64, spec, (1, 1, pixels_that_fit))
    with pytest.raises(OutOfMemoryError, match=r"a tile of 512×512 px needs more than 128 MiB, a GPU has 64 MiB"):
        ncnn_settings.check_fits(target, "a GPU", 64, spec, (1, 512, 512))


@pytest.mark.parametrize("name", ["onnxruntime", "ncnn", "openvino"])
def test_a_setting_that_a_runtime_does_not_have_is_an_error(name: str, get_artifact: GetArtifact) -> None:
    runner = plugins.runner(name)
    options = LoadOptions(threads=1, tile_shape=(1, 8, 8), settings=Settings(values={"no_such_thing": "1"}))
    with pytest.raises(EsrbenchError, match=r"(?i)no_such_thing"):
        runner.load(get_artifact(next(iter(runner.accepts)), Precision.FP32), Target(f"{name}@cpu:fp32"), options)


def test_ncnn_that_changed_an_option_by_itself_is_found_out(get_artifact: GetArtifact) -> None:
    from esrbench_runners.ncnn_net import NcnnSession

    target = Target("ncnn@cpu:fp32")
    with plugins.runner("ncnn").load(get_artifact(NCNN, Precision.FP32), target, OPTIONS) as session:
        assert isinstance(session, NcnnSession)
        session._net.opt.use_fp16_storage = True
        with pytest.raises(PlacementError, match="made ncnn change use_fp16_storage"):
            session.placement()


def test_a_tile_for_which_ncnn_has_no_memory_is_not_taken_for_an_empty_one(
    get_artifact: GetArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from esrbench_runners.ncnn_net import NcnnSession

    target = Target("ncnn@cpu:fp32")
    with plugins.runner("ncnn").load(get_artifact(NCNN, Precision.FP32), target, OPTIONS) as session:
        assert isinstance(session, NcnnSession)
        unowned = SimpleNamespace(clone=library("ncnn", "ncnn").Mat)
        # As under `ulimit -v`: the clone that owns no memory is an empty one, without a word.
        monkeypatch.setattr(session, "_ncnn", SimpleNamespace(Mat=lambda planes: unowned))
        with pytest.raises(OutOfMemoryError, match="copying a tile: ncnn could not allocate memory"):
            session.run(np.zeros((1, 8, 8, 3), np.float32))


def test_cuda_that_does_not_start_leaves_torch_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fail(_index: int) -> str:
        raise RuntimeError("CUDA unknown error")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    found = {entry.target: entry for entry in plugins.runner("torch").targets()}
    assert found[Target("torch@cpu:fp32")].usable
    assert found[Target("torch@cuda:fp16")].reason == "CUDA does not start: CUDA unknown error"


def test_torch_with_weights_of_another_type_is_found_out(get_artifact: GetArtifact) -> None:
    from esrbench_runners.torch_session import TorchSession

    target = Target("torch@cpu:bf16")
    with plugins.runner("torch").load(get_artifact(PYTORCH, Precision.FP32), target, OPTIONS) as session:
        assert isinstance(session, TorchSession)
        session._network.float()
        with pytest.raises(PlacementError, match=r"torch.bfloat16 on cpu was asked for, torch has torch.float32"):
            session.placement()


@pytest.mark.parametrize("name", ["ncnn", "onnxruntime", "openvino", "torch", "torch-nchw", "torchscript"])
def test_a_file_that_holds_no_model_is_one_clear_error(name: str, get_artifact: GetArtifact, tmp_path: Path) -> None:
    runner = plugins.runner(name)
    whole = get_artifact(next(iter(runner.accepts)), Precision.FP32)
    for file in whole.artifact.files:
        (tmp_path / file.name).write_bytes(b"not a model")
    torn = LocatedArtifact(artifact=whole.artifact, folder=str(tmp_path))
    with pytest.raises(EsrbenchError):
        runner.load(torn, Target.of(name, "cpu", Precision.FP32), OPTIONS)


def test_a_batch_of_another_shape_is_one_clear_error(get_artifact: GetArtifact) -> None:
    artifact = get_artifact(ONNX, Precision.FP32)
    with plugins.runner("openvino").load(artifact, Target("openvino@cpu:fp32"), OPTIONS) as session:
        with pytest.raises(EsrbenchError, match="compiled for tiles of 8×8 px alone, it was given 9×9; load it for"):
            session.run(np.zeros((1, 9, 9, 3), np.float32))
        with pytest.raises(EsrbenchError, match=r"openvino@cpu:fp32: a batch of shape \(2, 8, 8, 3\) failed"):
            session.run(np.zeros((2, 8, 8, 3), np.float32))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("Check 'ptr' failed at cpu_memory.cpp:257: Failed to allocate 301989888 bytes of memory"),
        RuntimeError("CUDA error: CUDA_ERROR_OUT_OF_MEMORY"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9"),
    ],
)
def test_memory_that_ran_out_is_told_apart(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="torch: a batch failed") as caught, translated("torch: a batch"):
        raise error
    assert caught.value.__cause__ is error


def test_memory_that_ran_out_is_told_by_its_own_line_however_much_stands_before_it() -> None:
    said = "The following operation failed in the TorchScript interpreter.\n" + "code\n" * 500
    named = r"^x failed: DefaultCPUAllocator: can't allocate memory: 9 bytes$"
    with pytest.raises(OutOfMemoryError, match=named), translated("x"):
        raise RuntimeError(f"{said}DefaultCPUAllocator: can't allocate memory: 9 bytes\n")


def test_other_errors_keep_their_message_and_our_own_pass_through() -> None:
    with pytest.raises(EsrbenchError, match=r"^x failed: odd thing$"), translated("x"):
        raise ValueError("odd\n thing")
    with pytest.raises(PlacementError, match=r"^mine$"), translated("x"):
        raise PlacementError("mine")
