"""ONNX Runtime on devices that this machine does not have: what is asked of it, and what it may not get away with."""

from types import SimpleNamespace

import numpy as np
import pytest
from fake_onnxruntime import CPU_REFUSED, FakeOnnxruntime

from esrbench import plugins
from esrbench.artifact import ONNX
from esrbench.errors import PlacementError
from esrbench.runner import LoadOptions
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target
from esrbench_runners import onnx_cuda, onnx_session, onnx_tensorrt
from esrbench_runners.onnx_cuda import DeviceTensors
from esrbench_runners.onnx_session import OnnxSession

OPTIONS = LoadOptions(threads=1, tile_shape=(2, 8, 12))
GRAPH = Settings(values={"enable_cuda_graph": "1"})
FP32, TF32, FP16 = (Target(f"onnxruntime@cuda:{precision}") for precision in ("fp32", "tf32", "fp16"))
ENGINE = Target("onnxruntime-tensorrt@cuda:fp16")


@pytest.fixture(autouse=True)
def device(monkeypatch):
    for module in (onnx_session, onnx_tensorrt):
        monkeypatch.setattr(module, "device_names", lambda: ("Fake 9000",))


@pytest.fixture
def artifact(get_artifact):
    return get_artifact(ONNX, Precision.FP32)


@pytest.fixture
def halves(get_artifact):
    return get_artifact(ONNX, Precision.FP16)


def opened(runtime, artifact, target=FP32, settings=DEFAULT, index=0):
    options = LoadOptions(threads=1, tile_shape=OPTIONS.tile_shape, settings=settings)
    return OnnxSession(runtime, artifact, target, options)


def tiles(count=2, height=8, width=12):
    return np.random.default_rng(count).random((count, height, width, 3), np.float32)


def test_a_batch_goes_to_the_device_and_its_picture_comes_back(artifact):
    runtime = FakeOnnxruntime()
    with opened(runtime, artifact) as session:
        found = session.run(tiles())
    assert np.array_equal(found, tiles().repeat(4, axis=1).repeat(4, axis=2))


def test_a_shape_keeps_its_tensors_and_its_graph():
    runtime = FakeOnnxruntime()
    session = runtime.InferenceSession("", None, [("CUDAExecutionProvider", {})], enable_fallback=False)
    tensors = DeviceTensors(runtime, session, 1, 4, graph=True)
    shapes = [(1, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8)]
    for index, shape in enumerate(shapes):
        planes = np.full(shape, index, np.float32)
        assert np.array_equal(tensors.run(planes), planes.repeat(4, axis=2).repeat(4, axis=3))
    assert session.runs == ["1", "2", "1", "2"]  # 0 is onnxruntime's own, -1 switches the graph off
    bound = list(tensors._by_shape.values())
    assert len(bound) == 2
    assert {(value.device, value.index) for each in bound for value in (each.input, each.output)} == {("cuda", 1)}
    assert [each.binding.synchronised for each in bound] == [2, 2]


def test_without_a_graph_no_run_asks_for_one(artifact):
    runtime = FakeOnnxruntime()
    with opened(runtime, artifact) as session:
        session.run(tiles())
        session.run(tiles(1))
    assert runtime.sessions[0].runs == [None, None]


def test_a_graph_is_used_where_its_setting_is_chosen(artifact):
    runtime = FakeOnnxruntime()
    with opened(runtime, artifact, settings=GRAPH) as session:
        session.run(tiles())
        assert session.placement().options["enable_cuda_graph"] == "1"
    assert runtime.sessions[0].asked["enable_cuda_graph"] == "1"
    assert runtime.sessions[0].runs == ["1"]


def test_halves_travel_as_halves(halves):
    runtime = FakeOnnxruntime(input_type="tensor(float16)")
    with opened(runtime, halves, FP16) as session:
        found = session.run(tiles())
        (bound,) = session._tensors._by_shape.values()
        assert bound.input.array.dtype == bound.output.array.dtype == np.float16
        assert found.dtype == np.float32
        assert session.placement().precision is Precision.FP16


def test_nothing_may_fall_back_to_the_cpu(artifact):
    runtime = FakeOnnxruntime()
    opened(runtime, artifact).close()
    assert runtime.sessions[0].settings.entries["session.disable_cpu_ep_fallback"] == "1"
    with pytest.raises(PlacementError, match="CUDA was asked for, onnxruntime would run on the CPU"):
        opened(FakeOnnxruntime(refuses=CPU_REFUSED), artifact)
    with pytest.raises(PlacementError, match=r"CUDAExecutionProvider was asked for, the session has {'CPUExec"):
        opened(FakeOnnxruntime(elsewhere="CPUExecutionProvider"), artifact)


def test_tf32_is_a_precision_of_its_own(artifact):
    runtime = FakeOnnxruntime()
    with opened(runtime, artifact, TF32) as session:
        assert session.placement().precision is Precision.TF32
    opened(runtime, artifact, FP32).close()
    assert [session.asked["use_tf32"] for session in runtime.sessions] == ["1", "0"]
    with pytest.raises(PlacementError, match="use_tf32=0 was asked for, the session has 1"):
        opened(FakeOnnxruntime(changes={"use_tf32": "1"}), artifact, FP32)
    with pytest.raises(PlacementError, match="use_tf32=1 was asked for, the session has 0"):
        opened(FakeOnnxruntime(changes={"use_tf32": "0"}), artifact, TF32)


def test_settings_are_shown_as_the_provider_has_them(artifact):
    runtime = FakeOnnxruntime(changes={"prefer_nhwc": "0"})
    with opened(runtime, artifact) as session:
        assert session.placement().options["prefer_nhwc"] == "0"


def test_candidates_differ_and_none_of_them_touches_the_arithmetic():
    found = [each.over(onnx_cuda.OPTIONS) for each in onnx_cuda.CANDIDATES]
    assert found[0] == onnx_cuda.OPTIONS
    assert len({tuple(sorted(each.items())) for each in found}) == len(found)
    assert not {name for each in onnx_cuda.CANDIDATES for name in each.values} & set(onnx_cuda.ARITHMETIC)


def test_tensor_cores_are_left_out_for_ieee_single_precision_alone():
    asked = {precision: onnx_cuda.options(DEFAULT, precision, 0)["use_tf32"] for precision in Precision}
    assert {precision for precision, tf32 in asked.items() if tf32 == "0"} == {Precision.FP32}


def loaded(runtime, artifact, folder, settings=DEFAULT, target=ENGINE):
    options = LoadOptions(threads=1, tile_shape=OPTIONS.tile_shape, settings=settings)
    return onnx_tensorrt.loaded(runtime, artifact, target, options, folder)


def test_an_engine_is_built_once_and_the_placement_tells_which_it_was(halves, tmp_path):
    runtime = FakeOnnxruntime(input_type="tensor(float16)")
    with loaded(runtime, halves, tmp_path) as session:
        built = session.placement()
        assert np.array_equal(session.run(tiles()).shape, (2, 32, 48, 3))
    with loaded(runtime, halves, tmp_path) as session:
        cached = session.placement()
    assert (built.options["engine"], cached.options["engine"]) == ("built", "cached")
    assert cached.options["engine_build_s"] == built.options["engine_build_s"]
    assert float(built.options["engine_build_s"]) >= 0
    assert built.nodes == {"TensorrtExecutionProvider": 1}
    asked = runtime.sessions[0].asked
    assert asked["trt_fp16_enable"] == "1"
    assert asked["trt_engine_cache_enable"] == "1"
    assert asked["trt_timing_cache_enable"] == "0"
    assert asked["trt_profile_min_shapes"] == "input:1x3x8x12"
    assert asked["trt_profile_opt_shapes"] == asked["trt_profile_max_shapes"] == "input:2x3x8x12"


def test_another_level_of_effort_is_another_engine_and_a_graph_is_not(halves, tmp_path):
    runtime = FakeOnnxruntime(input_type="tensor(float16)")
    engines = [
        loaded(runtime, halves, tmp_path, settings).placement().options["engine"]
        for settings in onnx_tensorrt.CANDIDATES
    ]
    assert engines == ["built", "cached", "built", "cached"]


def test_another_tensorrt_is_another_engine(halves, tmp_path, monkeypatch):
    runtime = FakeOnnxruntime(input_type="tensor(float16)")
    found = []
    for version in (101200, 101300):
        infer = SimpleNamespace(getInferLibVersion=lambda version=version: version)
        monkeypatch.setattr(onnx_tensorrt.ctypes, "CDLL", lambda _, infer=infer: infer)
        found.append(loaded(runtime, halves, tmp_path).placement().options)
    assert [(each["tensorrt"], each["engine"]) for each in found] == [("101200", "built"), ("101300", "built")]


def test_a_session_that_built_no_engine_is_not_taken_for_tensorrt(halves, tmp_path):
    runtime = FakeOnnxruntime(input_type="tensor(float16)", builds=False)
    with pytest.raises(PlacementError, match="TensorRT was asked for, onnxruntime built no engine"):
        loaded(runtime, halves, tmp_path)


@pytest.mark.parametrize("elsewhere", ["CUDAExecutionProvider", "CPUExecutionProvider"])
def test_nodes_outside_the_engine_are_not_taken_for_tensorrt(halves, tmp_path, elsewhere):
    runtime = FakeOnnxruntime(input_type="tensor(float16)", elsewhere=elsewhere)
    with pytest.raises(PlacementError, match=f"TensorrtExecutionProvider was asked for.*{elsewhere}"):
        loaded(runtime, halves, tmp_path)


def test_tensorrt_computes_ieee_single_precision_where_fp32_is_asked(monkeypatch):
    monkeypatch.setenv(onnx_tensorrt.NO_TF32, "1")  # put back afterwards, whatever it was
    monkeypatch.delenv(onnx_tensorrt.NO_TF32)
    onnx_tensorrt.set_tf32(Target("onnxruntime-tensorrt@cuda:tf32"))
    onnx_tensorrt.set_tf32(ENGINE)
    assert onnx_tensorrt.os.environ.get(onnx_tensorrt.NO_TF32) is None
    onnx_tensorrt.set_tf32(Target("onnxruntime-tensorrt@cuda:fp32"))
    assert onnx_tensorrt.os.environ[onnx_tensorrt.NO_TF32] == "0"
    with pytest.raises(PlacementError, match="TF32 was asked for, NVIDIA_TF32_OVERRIDE=0 forbids it"):
        onnx_tensorrt.set_tf32(Target("onnxruntime-tensorrt@cuda:tf32"))


def test_the_library_that_the_provider_needs_is_named(tmp_path, monkeypatch):
    provider = tmp_path / "capi" / "libonnxruntime_providers_tensorrt.so"
    provider.parent.mkdir()
    provider.write_bytes(b"\x7fELF\0libm.so.6\0libnvinfer.so.99\0libnvinfer_plugin.so.99\0")
    runtime = FakeOnnxruntime(file=tmp_path / "__init__.py")
    monkeypatch.setattr(onnx_tensorrt, "library", lambda *_: runtime)
    monkeypatch.setattr(onnx_tensorrt.sys, "platform", "linux")
    found = plugins.runner("onnxruntime-tensorrt").targets()
    assert {entry.usable for entry in found} == {False}
    assert {entry.remedy for entry in found} == {"pip install 'tensorrt-cu13>=99,<100'"}
    (reason,) = {entry.reason for entry in found}
    assert reason is not None
    assert reason.startswith("TensorRT's libnvinfer.so.99 cannot be loaded: ")
    monkeypatch.setattr(onnx_tensorrt.ctypes, "CDLL", lambda name: name)
    assert {entry.usable for entry in plugins.runner("onnxruntime-tensorrt").targets()} == {True}


@pytest.mark.parametrize(
    ("cuda", "library", "requirement"),
    [
        ("12.8", "libnvinfer.so.10", "tensorrt-cu12>=10,<11"),
        ("13.0", "nvinfer_10.dll", "tensorrt-cu13>=10,<11"),
        ("13.0", "libnvinfer.so", "tensorrt-cu13"),  # the provider names no version
        (None, "libnvinfer.so.11", "tensorrt>=11,<12"),
    ],
)
def test_the_remedy_installs_the_tensorrt_that_the_provider_links(cuda, library, requirement, monkeypatch):
    monkeypatch.setattr(onnx_tensorrt, "needed_library", lambda _: library)
    runtime = SimpleNamespace(cuda_version=cuda, __file__="/somewhere/__init__.py")
    assert onnx_tensorrt.tensorrt_requirement(runtime) == requirement


def test_without_a_device_both_reasons_are_given(monkeypatch):
    monkeypatch.setattr(onnx_tensorrt, "device_names", tuple)
    monkeypatch.setattr(onnx_tensorrt, "missing_library", lambda _: "TensorRT's libnvinfer.so.10 cannot be loaded: no")
    monkeypatch.setattr(onnx_tensorrt, "library", lambda *_: FakeOnnxruntime())
    (reason,) = {entry.reason for entry in plugins.runner("onnxruntime-tensorrt").targets()}
    assert reason == "no CUDA device is found; TensorRT's libnvinfer.so.10 cannot be loaded: no"
