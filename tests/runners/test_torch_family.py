"""What the runners of the torch family do beyond the contract."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from esrbench import fidelity, plugins
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import PYTORCH, TORCHSCRIPT, Format, LocatedArtifact
from esrbench.errors import EsrbenchError, PlacementError, UnavailableError
from esrbench.model import build
from esrbench.runner import LoadOptions
from esrbench.settings import Settings
from esrbench.target import Precision, Target
from esrbench_runners.cuda_session import CudaSettings
from esrbench_runners.frozen_script import ALLOW_TF32, BENCHMARK, FrozenSession
from esrbench_runners.torch_devices import set_arithmetic
from esrbench_runners.torch_eager import AS_WRITTEN, DENSE_BLOCKS, WIDE
from esrbench_runners.torch_nchw import TorchNchwRunner
from esrbench_runners.torchscript_jit import TorchscriptRunner
from esrbench_runners.wide_dense import WideDenseBlock, widened

GetArtifact = Callable[[Format, Precision], LocatedArtifact]

OPTIONS = LoadOptions(threads=1, tile_shape=(1, 8, 8))
TILE = np.random.default_rng(0).random((1, 8, 8, 3), dtype=np.float32)


@pytest.fixture
def arithmetic() -> Iterator[None]:
    """Torch's switches, put back as every runner of the CPU sets them."""
    yield
    set_arithmetic(Target("torch@cpu:fp32"), threads=1)


@pytest.mark.parametrize(("target", "allowed"), [("torch@cuda:tf32", True), ("torch@cuda:fp32", False)])
def test_the_old_switches_of_tf32_agree_with_the_new_ones(arithmetic: None, target: str, allowed: bool) -> None:
    """Inductor asks the old ones in some releases and the new ones in others; where they disagree torch raises."""
    for asked in ("torch@cuda:fp16", target):
        set_arithmetic(Target(asked), threads=1)
    assert torch.backends.cudnn.allow_tf32 is allowed
    assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")
    named = "tf32" if allowed else "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == named  # type: ignore[attr-defined]
    assert torch.backends.cudnn.fp32_precision == named
    assert torch.backends.cuda.matmul.fp32_precision == named


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_frozen_script_still_proves_the_type_of_its_weights(get_artifact: GetArtifact, dtype: torch.dtype) -> None:
    precision = {torch.float32: Precision.FP32, torch.bfloat16: Precision.BF16}[dtype]
    target = Target.of("torchscript", "cpu", precision)
    network = TorchscriptRunner().network(get_artifact(TORCHSCRIPT, Precision.FP32), target)
    convolutions = sum(weight.dim() == 4 for weight in network.parameters())
    with FrozenSession(network, target) as session:
        assert not list(session._network.parameters())
        placement = session.placement()
        assert placement.nodes == {"cpu": convolutions}
        assert placement.options["frozen"] == "yes"
        session._dtype = torch.float16
        with pytest.raises(PlacementError, match=f"torch.float16 on cpu was asked for, torch has {dtype}"):
            session.placement()


def test_a_frozen_script_obeys_torchs_switches_and_not_those_of_its_tracing(
    get_artifact: GetArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    target = Target("torchscript@cpu:fp32")
    with FrozenSession(
        TorchscriptRunner().network(get_artifact(TORCHSCRIPT, Precision.FP32), target), target
    ) as session:
        graph = session._network.graph
        convolutions = [list(node.inputs()) for node in graph.findAllNodes("aten::_convolution")]
    assert convolutions
    for inputs in convolutions:
        assert [inputs[place].toIValue() for place in (BENCHMARK, ALLOW_TF32)] == [True, False]


def test_a_frozen_script_draws_the_same_picture(get_artifact: GetArtifact) -> None:
    runner, target = TorchscriptRunner(), Target("torchscript@cpu:fp32")
    artifact = get_artifact(TORCHSCRIPT, Precision.FP32)
    with FrozenSession(runner.network(artifact, target), target) as session:
        found = [session.run(TILE) for _ in range(3)]  # it specialises in the first two
    with runner.load(artifact, target, OPTIONS) as session:
        expected = session.run(TILE)
    for upscaled in found:
        np.testing.assert_allclose(upscaled, expected, atol=1e-5)


def test_upstreams_way_is_nchw_one_tile_at_a_time(get_artifact: GetArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    artifact = get_artifact(PYTORCH, Precision.FP32)
    with TorchNchwRunner().load(artifact, Target("torch-nchw@cpu:fp32"), OPTIONS) as session:
        network = session._network  # type: ignore[attr-defined]
        network.register_forward_hook(lambda *_: seen.append(_[2]))
        session.run(np.concatenate([TILE, TILE]))
        assert session.placement().options["memory_format"] == "contiguous_format"
        assert not torch.backends.cudnn.benchmark
    assert [tuple(output.shape) for output in seen] == [(1, 3, 32, 32)] * 2
    assert all(
        output.is_contiguous() and not output.is_contiguous(memory_format=torch.channels_last) for output in seen
    )


def test_torch_convolves_upstreams_planes_as_nchw() -> None:
    """They have the strides of an image, so it might have been channels_last; see torch_nchw."""
    planes = torch.from_numpy(np.transpose(TILE[0], (2, 0, 1))).float().unsqueeze(0)
    output = build(RRDBNetSpec(blocks=1, features=8, growth=4)).conv_first(planes)  # type: ignore[operator]
    assert output.is_contiguous()
    assert not output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("scale", [4, 2])
def test_wide_dense_blocks_draw_the_same_picture(scale: int) -> None:
    torch.manual_seed(0)
    network = build(RRDBNetSpec(blocks=2, features=16, growth=8, scale=scale))
    planes = torch.rand(2, 3, 12, 20)
    with torch.inference_mode():
        expected = network(planes).numpy()
        count = sum(parameter.numel() for parameter in network.parameters())
        found = widened(network)(planes).numpy()
    assert sum(isinstance(module, WideDenseBlock) for module in network.modules()) == 6
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert fidelity.psnr_db(float(np.mean((found - expected) ** 2))) > 110


@pytest.mark.parametrize("target", ["torch@cpu:fp32", "torch@cpu:bf16"])
def test_dense_blocks_are_replaced_where_the_settings_say_so(get_artifact: GetArtifact, target: str) -> None:
    options = LoadOptions(threads=1, tile_shape=(1, 8, 8), settings=Settings(values={DENSE_BLOCKS: WIDE}))
    artifact, runner = get_artifact(PYTORCH, Precision.FP32), plugins.runner("torch")
    with (
        runner.load(artifact, Target(target), OPTIONS) as plain,
        runner.load(artifact, Target(target), options) as wide,
    ):
        assert (plain.placement().options[DENSE_BLOCKS], wide.placement().options[DENSE_BLOCKS]) == (AS_WRITTEN, WIDE)
        mse = float(np.mean((plain.run(TILE) - wide.run(TILE)) ** 2))
    assert fidelity.psnr_db(mse) > (40 if target.endswith("bf16") else 100)


@pytest.mark.parametrize("values", [{DENSE_BLOCKS: "none"}, {"graph": "1"}])
def test_a_setting_that_torch_does_not_have_is_refused_by_name(
    get_artifact: GetArtifact, values: dict[str, str]
) -> None:
    options = LoadOptions(threads=1, tile_shape=(1, 8, 8), settings=Settings(values=values))
    with pytest.raises(EsrbenchError, match="torch@cpu:fp32 has no setting"):
        plugins.runner("torch").load(get_artifact(PYTORCH, Precision.FP32), Target("torch@cpu:fp32"), options)


def test_settings_on_cuda_are_read_from_text_and_held_to_their_names() -> None:
    target = Target("torch@cuda:fp16")
    assert CudaSettings.of({"pinned_results": "1", "in_flight": "2"}, target) == CudaSettings(
        pinned_results=True, in_flight=2
    )
    for wrong in ({"pinned": "1"}, {"in_flight": "two"}, {"in_flight": "0"}):
        with pytest.raises(EsrbenchError, match="torch@cuda:fp16 cannot be set like that"):
            CudaSettings.of(wrong, target)


def test_what_is_worth_trying_is_eager_torchs_alone() -> None:
    runners = {name: plugins.runner(name) for name in ("torch", "torch-nchw", "torch-compile")}
    counts = {name: len(runner.candidates(Target.of(name, "cuda", Precision.FP16))) for name, runner in runners.items()}
    assert counts == {"torch": 4, "torch-nchw": 1, "torch-compile": 1}


def test_a_network_without_dense_blocks_is_left_as_it_is() -> None:
    network = build(SRVGGNetSpec(convs=1, features=8))
    before = str(network)
    assert str(widened(network)) == before


def test_without_a_compiler_torch_compile_is_refused_with_what_to_install(
    get_artifact: GetArtifact, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = get_artifact(PYTORCH, Precision.FP32)
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    runner = plugins.runner("torch-compile")
    found = runner.targets()
    assert {entry.reason for entry in found} == {"torch-compile compiles C++, and neither g++ nor clang++ is here"}
    with pytest.raises(UnavailableError, match="install one, as by apt install"):
        runner.load(artifact, Target("torch-compile@cpu:fp32"), OPTIONS)


def test_what_was_compiled_goes_with_the_last_session(
    get_artifact: GetArtifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    runner, target = plugins.runner("torch-compile"), Target("torch-compile@cpu:fp32")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    artifact = get_artifact(PYTORCH, Precision.FP32)
    with runner.load(artifact, target, OPTIONS):
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        assert list(folder.parent.iterdir()) == [folder]
        with runner.load(artifact, target, OPTIONS):
            assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == folder
        assert folder.is_dir()
    assert not folder.parent.exists()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_network_that_torch_left_uncompiled_is_found_out(
    get_artifact: GetArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    artifact = get_artifact(PYTORCH, Precision.FP32)
    with (
        plugins.runner("torch-compile").load(artifact, Target("torch-compile@cpu:fp32"), OPTIONS) as session,
        pytest.raises(PlacementError, match="torch compiled nothing"),
    ):
        session.placement()
