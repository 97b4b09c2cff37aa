"""An installed plug-in, however hostile, changes nothing for the built-in runtimes beside it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_plugins import ENTRY_POINTS

from esrbench import automatic, cache, plugins, probe, provision, zoo
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import NCNN, ONNX, PYTORCH, Format
from esrbench.errors import EsrbenchError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.runner import Availability, DeviceType
from esrbench.shelf import Shelf
from esrbench.target import REFERENCE, Precision, Target
from esrbench.testing import write_distribution
from esrbench_exporters.ncnn_model import NcnnExporter

CONTRACT = Path(__file__).with_name("test_contract.py")
HOSTILE = [name for name in ENTRY_POINTS["esrbench.runners"] if name not in {"torch", "../outside"}]


@pytest.fixture(autouse=True)
def hostile(tmp_path, monkeypatch) -> None:
    """Install the hostile distribution here and in every child."""
    site = tmp_path / "site"
    write_distribution(site, "a-hostile", ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(__file__).parent)]))
    monkeypatch.setenv("ESRBENCH_CACHE", str(tmp_path / "cache"))
    write_distribution(tmp_path / "site", "nameless", {"esrbench.runners": {"nameless": "no_such_module:Runner"}})
    (site / "nameless-1.0.dist-info" / "METADATA").unlink()  # an installation that broke off


@pytest.fixture
def checkpoint(random_model, tmp_path) -> str:
    folder = tmp_path / "weights"
    folder.mkdir()
    model = random_model(SRVGGNetSpec(convs=0, features=4))
    return str(NcnnExporter().export(model, ExportOptions(), folder).paths[0])


def test_each_format_is_proved_by_its_own_runtime(checkpoint):
    pytest.importorskip("ncnn")
    for format_, runtime in ((PYTORCH, "torch"), (NCNN, "ncnn")):
        proof = ensure_artifact(checkpoint, format_).artifact.proof
        assert proof is not None
        assert proof.runtime == runtime


def test_every_built_in_exporter_names_built_in_runtimes_that_load_its_format():
    for format_, exporter in plugins.exporters().items():
        if type(exporter).__module__.startswith("esrbench_exporters."):
            runners = [plugins.runner(name) for name in exporter.proved_by]
            assert runners
            assert {type(runner).__module__.partition(".")[0] for runner in runners} == {"esrbench_runners"}
            assert all(format_ in runner.accepts for runner in runners)


def test_built_in_runtimes_answer_as_ever_and_the_hostile_are_named():
    found = probe.ask(["torch", *HOSTILE])
    assert found.of(REFERENCE).usable
    assert [entry.target for entry in found.targets if entry.target.runtime != "torch"] == ["bicubic@cuda:fp16"]
    assert {broken.name for broken in found.broken} == set(HOSTILE) - {"bicubic"}


def test_what_is_broken_is_reported_with_its_distribution_and_the_rest_is_whole():
    broken = {(plugin.group.removeprefix("esrbench."), plugin.name): plugin for plugin in plugins.broken()}
    assert {name for _, name in broken} == {
        *("adeclares", "amade", "aimport", "torch", "../outside", "onnx", "nameless")
    }
    assert broken["runners", "torch"].reason == "the name is taken by esrbench"
    assert broken["runners", "amade"].reason == "Unprintable: no message"
    assert "accepts is 5" in broken["runners", "adeclares"].reason
    assert "../outside" not in plugins.runner_names()
    assert type(plugins.runner("torch")).__name__ == "TorchRunner"
    assert type(plugins.exporter("onnx")).__name__ == "OnnxExporter"


def test_a_target_of_a_hostile_runner_is_refused_and_the_others_get_their_artifacts(checkpoint, capsys):
    pytest.importorskip("ncnn")
    strangers = [Target.of(name, "cpu", Precision.FP32) for name in ("araises", "bicubic", "adeclares")]
    found, failed = provision.artifacts(checkpoint, [*strangers, REFERENCE], lambda _: None, {})
    assert list(found) == [REFERENCE]
    assert set(failed) == set(strangers)
    assert "SystemExit: on purpose" in failed[strangers[0]].reason
    assert "'no precision' is not a valid Precision" in failed[strangers[1]].reason
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["araises", "bicubic", "amade"])
def test_settings_that_are_none_are_no_choice(name, capsys):
    assert plugins.candidates(Target.of(name, "cpu", Precision.FP32)) == ()
    assert capsys.readouterr().out == ""


def test_an_exporter_that_cannot_say_its_versions_is_one_error(checkpoint):
    Shelf(cache.folder()).remember(zoo.locate(checkpoint).sha256, "0" * 64)
    with pytest.raises(EsrbenchError, match="RuntimeError: on purpose"):
        ensure_artifact(checkpoint, Format("aaa"))


def test_auto_takes_a_stranger_only_where_there_is_nobody_else():
    gpu = Availability(target=Target("bicubic@cuda:fp16"), usable=True, device_type=DeviceType.GPU)
    cpu = Availability(target=Target("ncnn@cpu:fp32"), usable=True, device_type=DeviceType.CPU)
    assert automatic.best((gpu, cpu)) == cpu
    assert automatic.best((gpu,)) == gpu


def test_json_stays_json():
    code = "from esrbench import plugins; plugins.broken(); print('{}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize(("runtime", "format_"), [("torch", PYTORCH), ("onnxruntime", ONNX), ("openvino", ONNX)])
def test_a_built_in_runtime_is_given_what_it_is_given_without_them(runtime, format_):
    assert plugins.artifact_for(Target.of(runtime, "cpu", Precision.FP32)) == (format_, Precision.FP32)


@pytest.mark.slow
def test_built_in_runtimes_pass_the_contract_test_beside_them(artifact_cache):
    options = ["-q", "-p", "no:cacheprovider", "-k", "(ncnn or onnxruntime) and cpu and fp32"]  # torch is the reference
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(CONTRACT), *options, "--rootdir", str(CONTRACT.parents[2])],
        env=os.environ | {"ESRBENCH_TEST_ARTIFACTS": str(artifact_cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= 18  # nine of each of the two
