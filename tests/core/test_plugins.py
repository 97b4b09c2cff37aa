import re
import subprocess
import sys
from pathlib import Path

import pytest

from esrbench import plugins
from esrbench.errors import UnavailableError, UnknownNameError
from esrbench.testing import FAKE_ENTRY_POINTS, FakeExporter, FakeRunner, write_distribution

BUILT_IN = [
    *("aotinductor", "ncnn", "onnxruntime", "onnxruntime-tensorrt", "openvino", "openvino-throughput"),
    *("torch", "torch-compile", "torch-export", "torch-nchw", "torchscript"),
]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path to install distributions into."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, name: str, entry: str, value: str, group: str = "esrbench.runners") -> None:
    write_distribution(site, name, {group: {entry: value}})


def only_broken() -> plugins.BrokenPlugin:
    (broken,) = plugins.broken()
    return broken


def test_the_built_in_runners_and_exporters_are_found_and_whole() -> None:
    assert list(plugins.runners()) == BUILT_IN
    assert list(plugins.exporters()) == [
        "aotinductor",
        "ncnn",
        "onnx",
        "openvino",
        "pytorch",
        "torch-export",
        "torchscript",
    ]


def test_what_runs_on_request_only_is_left_out_where_nothing_asks_for_it():
    left_out = set(plugins.runner_names()) - set(plugins.runner_names(on_request=False))
    assert left_out == {"aotinductor", "onnxruntime-tensorrt", "openvino-throughput", "torch-compile", "torch-export"}
    assert plugins.broken() == ()


def test_a_plugin_of_another_distribution_is_found(site: Path) -> None:
    write_distribution(site, "esrbench-fakes", FAKE_ENTRY_POINTS)
    assert isinstance(plugins.runner("fake"), FakeRunner)
    assert isinstance(plugins.exporter("fake"), FakeExporter)
    assert sorted(plugins.runners()) == sorted([*BUILT_IN, "fake"])


def test_an_unknown_name_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no runtime is named 'onnxrutime'; did you mean 'onnxruntime'"):
        plugins.runner("onnxrutime")
    with pytest.raises(UnknownNameError, match="no format is named 'onx'; did you mean 'onnx'"):
        plugins.exporter("onx")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:Runner", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("esrbench.testing:NoSuchClass", "AttributeError"),
        ("esrbench.testing:FakeExporter", "is no subclass of esrbench's Runner"),
        ("esrbench.testing:write_distribution", "is no subclass of esrbench's Runner"),
        ("esrbench.testing:FakeRunner", "name is 'fake', its entry point says 'odd'"),
        ("esrbench.runner:Runner", "name is None"),
        ("no reference at all", "AttributeError"),
        ("raises_on_import:Runner", "ValueError: on purpose"),
        ("exits_on_import:Runner", "SystemExit: on purpose"),
        ("cannot_be_made:Runner", "TypeError: Can't instantiate abstract class"),
    ],
)
def test_a_broken_plugin_is_reported_and_harms_nobody(site: Path, value: str, reason: str) -> None:
    (site / "raises_on_import.py").write_text("raise ValueError('on purpose\\nin detail')")
    (site / "exits_on_import.py").write_text("raise SystemExit('on purpose')")
    (site / "cannot_be_made.py").write_text(
        "import esrbench.runner\nclass Runner(esrbench.runner.Runner):\n    name = 'odd'\n    accepts = frozenset()\n"
    )
    install(site, "odd-plugin", "odd", value)
    assert list(plugins.runners()) == BUILT_IN
    broken = only_broken()
    assert (broken.group, broken.name, broken.distribution) == ("esrbench.runners", "odd", "odd-plugin")
    assert reason in broken.reason
    with pytest.raises(UnavailableError, match=r"the plug-in 'odd' of odd-plugin is broken: .* uninstall odd-plugin"):
        plugins.runner("odd")


def test_a_built_in_runner_keeps_its_name(site: Path) -> None:
    install(site, "a-usurper", "torch", "esrbench.testing:FakeRunner")
    assert type(plugins.runner("torch")).__name__ == "TorchRunner"
    assert only_broken() == plugins.BrokenPlugin(
        group="esrbench.runners", name="torch", distribution="a-usurper", reason="the name is taken by esrbench"
    )


def test_of_two_strangers_the_first_in_the_alphabet_keeps_the_name(site: Path) -> None:
    (site / "second.py").write_text("from esrbench.testing import FakeRunner\nclass Second(FakeRunner): pass\n")
    install(site, "second", "fake", "second:Second")
    install(site, "first", "fake", "esrbench.testing:FakeRunner")
    assert type(plugins.runner("fake")) is FakeRunner
    assert only_broken().distribution == "second"
    assert only_broken().reason == "the name is taken by first"


def test_asking_for_one_plugin_imports_no_other(site: Path) -> None:
    (site / "raises_on_import.py").write_text("raise AssertionError('imported')")
    install(site, "odd-plugin", "odd", "raises_on_import:Runner")
    plugins.runner("torch")
    assert "odd" in plugins.runner_names()
    assert "raises_on_import" not in sys.modules


def test_listing_plugins_loads_no_runtime() -> None:
    code = (
        "import sys; from esrbench import plugins; plugins.runners(), plugins.exporters(); "
        "print([name for name in ('torch', 'onnxruntime', 'onnx', 'ncnn', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\]\s*", done.stdout), done.stdout
