import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esrbench import cli, export, proof, shelf
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import NCNN, SIDECAR, Artifact, Format, read_sidecar
from esrbench.cli import export as _export_command
from esrbench.cli import models as _models_command
from esrbench.codec import decode
from esrbench.delivery import export_to
from esrbench.errors import CheckpointError, ExportError, OutputError, UnavailableError, UnknownNameError, UsageError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench.testing import write_distribution
from esrbench_exporters.ncnn_model import NcnnExporter

assert _export_command
assert _models_command
FP32, FP16 = ExportOptions(), ExportOptions(precision=Precision.FP16)
FAULTY = Format("faulty")
FAULTS = """
import os, signal, sys
from esrbench.errors import ExportError
from esrbench.exporter import Exporter
from esrbench.target import Precision

class FaultyExporter(Exporter):
    format = "faulty"
    precisions = frozenset(Precision)

    def versions(self):
        return {}

    def export(self, model, options, out_dir):
        (out_dir / "half").write_text("half-written")
        fault = os.environ["ESRBENCH_TEST_FAULT"]
        if fault == "raise":
            raise RuntimeError("the sky fell")
        if fault == "refuse":
            raise ExportError("tiny cannot be held")
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(3)
"""


BLIND = """
import os, sys
from importlib.machinery import PathFinder

class Blind(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in os.environ.get("ESRBENCH_TEST_BLOCKED", "").split()
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Blind if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def checkpoint(random_model, tmp_path) -> Path:
    """An NCNN checkpoint: its export needs no torch, so that a child process is done in a moment."""
    folder = tmp_path / "weights"
    folder.mkdir()
    return NcnnExporter().export(random_model(SRVGGNetSpec(convs=0, features=4)), ExportOptions(), folder).paths[0]


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A format whose exporter fails, in a distribution of its own."""
    site = tmp_path / "site"
    write_distribution(site, "esrbench-faulty", {"esrbench.exporters": {"faulty": "faulty_exporter:FaultyExporter"}})
    (site / "faulty_exporter.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return lambda fault: monkeypatch.setenv("ESRBENCH_TEST_FAULT", fault)


@pytest.fixture(autouse=True)
def without_proof(monkeypatch):
    """Spare a second child process where the picture is not what is tested."""
    monkeypatch.setattr(proof, "prove", lambda *_: proof.ProofAnswer(unproved="not asked for in this test"))


@pytest.fixture
def no_process(monkeypatch):
    """From its call on, exporting is a failure of the test."""
    return lambda: monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("an export was started"))


def on_the_shelf(own_cache: Path) -> list[str]:
    return sorted(path.name for path in (own_cache / "artifacts").iterdir())


def test_an_artifact_is_described_and_exported_once(checkpoint, no_process):
    made = ensure_artifact(str(checkpoint), NCNN, FP16)
    assert made.artifact.model == "tiny"
    assert made.artifact.precision is Precision.FP16
    assert made.artifact.spec == SRVGGNetSpec(convs=0, features=4)
    assert made.artifact.export_s > 0
    assert made.artifact.export_peak_rss_bytes > 10e6
    assert made.artifact.versions["esrbench"]
    assert made.path().name == "tiny-fp16.param"
    no_process()
    assert ensure_artifact(str(checkpoint), NCNN, FP16) == made


def test_precisions_lie_apart(checkpoint):
    assert ensure_artifact(str(checkpoint), NCNN, FP16).folder != ensure_artifact(str(checkpoint), NCNN, FP32).folder


def test_the_same_weights_in_another_file_are_the_same_artifact(checkpoint, random_model, tmp_path, own_cache):
    made = ensure_artifact(str(checkpoint), NCNN, FP32)
    exported = NcnnExporter().export(random_model(made.artifact.spec), ExportOptions(), tmp_path).paths[0]
    exported.write_text(exported.read_text().replace("shuffle", "another"))
    assert ensure_artifact(str(exported), NCNN, FP32) == made
    assert len(on_the_shelf(own_cache)) == 1


def test_other_weights_of_the_same_name_are_another_artifact(checkpoint, random_model):
    before = ensure_artifact(str(checkpoint), NCNN, FP32)
    model = random_model(before.artifact.spec, seed=1)
    NcnnExporter().export(model, ExportOptions(), checkpoint.parent)
    after = ensure_artifact(str(checkpoint), NCNN, FP32)
    assert after.artifact.weights_sha256 == model.weights_sha256
    assert after.folder != before.folder


def test_an_edited_exporter_exports_again(checkpoint, monkeypatch):
    exporter = NcnnExporter()
    before = shelf.recipe("tiny", "0" * 64, exporter, ExportOptions()).key()
    monkeypatch.setattr(shelf, "_code_sha256", lambda _: "edited")
    assert shelf.recipe("tiny", "0" * 64, exporter, ExportOptions()).key() != before


def test_an_edited_module_of_an_exporters_package_exports_again(tmp_path, monkeypatch):
    package = tmp_path / "some_exporters"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "steps.py").write_text("STEPS = 255")
    (package / "one.py").write_text("class Exporter:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    exporter = importlib.import_module("some_exporters.one").Exporter()
    before = shelf._code_sha256(exporter)
    assert shelf._code_sha256(exporter) == before
    (package / "steps.py").write_text("STEPS = 127")
    assert shelf._code_sha256(exporter) != before


def test_a_damaged_artifact_is_exported_again(checkpoint):
    made = ensure_artifact(str(checkpoint), NCNN, FP32)
    good = made.path(1).read_bytes()
    made.path(1).write_bytes(good[:-1])
    again = ensure_artifact(str(checkpoint), NCNN, FP32)
    assert again.folder == made.folder
    assert again.path(1).read_bytes() == good


def test_a_cache_of_its_own_can_be_given(checkpoint, tmp_path):
    made = ensure_artifact(str(checkpoint), NCNN, FP32, cache=tmp_path / "other")
    assert (tmp_path / "other") in Path(made.folder).parents


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "exporting tiny to faulty fp32 failed: RuntimeError: the sky fell"),
        ("refuse", "tiny cannot be held"),
        ("kill", "SIGKILL; memory may have run out"),
        ("exit", "ended with code 3 and said nothing"),
    ],
)
def test_a_failing_exporter_is_one_error_and_leaves_nothing(fault, message, checkpoint, faulty, own_cache):
    faulty(fault)
    with pytest.raises(ExportError, match=message):
        ensure_artifact(str(checkpoint), FAULTY, FP32)
    assert on_the_shelf(own_cache) == []


def test_a_bad_checkpoint_is_the_users_error_not_the_exporters(tmp_path, own_cache):
    text = tmp_path / "text.safetensors"
    text.write_text("just a text, long enough to have a header")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        ensure_artifact(str(text), NCNN, FP32)
    assert on_the_shelf(own_cache) == []


def test_unknown_formats_and_precisions_are_refused_before_any_work(checkpoint, no_process):
    no_process()
    with pytest.raises(UnknownNameError, match="did you mean 'ncnn'"):
        ensure_artifact(str(checkpoint), Format("ncn"), FP32)
    with pytest.raises(UnavailableError, match="not written as int8"):
        ensure_artifact(str(checkpoint), NCNN, ExportOptions(precision=Precision.INT8))


def test_a_cache_that_cannot_be_written_is_named(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="set ESRBENCH_CACHE"):
        ensure_artifact(str(checkpoint), NCNN, FP32, cache=tmp_path / "file")


def test_formats_and_precisions_share_a_folder(checkpoint, tmp_path):
    out = tmp_path / "new" / "out"
    made = [export_to(str(checkpoint), NCNN, options, out) for options in (FP32, FP16, FP32)]
    assert sorted(path.name for path in out.iterdir()) == [
        "tiny-fp16.bin",
        "tiny-fp16.param",
        "tiny-fp16.param.json",
        "tiny.bin",
        "tiny.param",
        "tiny.param.json",
    ]
    assert read_sidecar(out / "tiny-fp16.param.json") == made[1]


@pytest.mark.parametrize("name", ["tiny.bin", "tiny.param.json"])
def test_another_file_of_the_same_name_is_left_alone(name, checkpoint, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("precious")
    with pytest.raises(OutputError, match=f"{name} exists and is"):
        export_to(str(checkpoint), NCNN, FP32, out)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "precious"


def test_a_folder_made_for_nothing_is_removed_again(checkpoint, faulty, tmp_path):
    faulty("raise")
    with pytest.raises(ExportError):
        export_to(str(checkpoint), FAULTY, FP32, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_an_unwritable_folder_is_refused_before_any_work(checkpoint, no_process):
    no_process()
    with pytest.raises(OutputError, match="cannot be written: Not a directory; choose another --out"):
        export_to(str(checkpoint), NCNN, FP32, checkpoint / "out")


def call(*arguments: object):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=True)


def test_the_command_prints_a_table_and_checkable_digests(checkpoint, tmp_path):
    said = call("export", checkpoint, "--format", "ncnn", "--precision", "fp16", "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    assert "tiny-fp16.param" in said.stdout
    lines = [line for line in said.stdout.splitlines() if line.endswith("  tiny-fp16.bin")]
    digest = lines[0].split()[0]
    assert digest == read_sidecar(tmp_path / "out" / "tiny-fp16.param.json").artifact.files[1].sha256


def test_what_the_files_cannot_do_is_said_beside_the_table(random_model, tmp_path):
    grey = SRVGGNetSpec(convs=0, features=4, scale=5, in_channels=1, out_channels=1)
    path = NcnnExporter().export(random_model(grey, name="grey"), ExportOptions(), tmp_path).paths[0]
    said = call("export", path, "--format", "ncnn", "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    assert "takes 1 channel and makes 1; realesrgan-ncnn-vulkan and Upscayl feed every network RGB" in said.stdout
    assert "no name tells Upscayl a scale of 5" in said.stdout
    assert read_sidecar(tmp_path / "out" / "grey-x5.param.json").artifact.notes


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """Hides libraries from the processes that export."""
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(BLIND)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "blind"))
    return lambda *names: monkeypatch.setenv("ESRBENCH_TEST_BLOCKED", " ".join(names))


HEAVY = ("torch", "onnx", "onnx_ir", "onnxscript", "openvino")


def test_without_a_format_all_that_can_be_is_exported_and_the_rest_is_listed(checkpoint, blocked, tmp_path):
    blocked(*HEAVY)
    said = call("export", checkpoint, "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny.bin",
        "tiny.param",
        "tiny.param.json",
    ]
    left = re.findall(r"left out: (\S+) fp32: (.*)", said.stdout)
    assert [format_ for format_, _ in left] == ["onnx", "openvino", "pytorch", "torch-export", "torchscript"]
    assert all("pip install" in reason for _, reason in left)


@pytest.mark.parametrize(
    ("missing", "format_", "remedy"),
    [
        ("onnx", "onnx", "onnx is not installed; pip install 'esrbench[onnxruntime]'"),
        ("onnx_ir", "onnx", "onnx_ir is not installed; pip install 'esrbench[onnxruntime]'"),
        ("onnxscript", "onnx", "onnxscript is not installed; pip install 'esrbench[onnxruntime]'"),
        ("openvino", "openvino", "openvino is not installed; pip install 'esrbench[openvino]'"),
        ("torch", "torchscript", "torchscript is written with torch, which cannot be imported here; pip install torch"),
    ],
)
def test_a_format_that_lacks_its_library_says_what_to_install(missing, format_, remedy, checkpoint, blocked, tmp_path):
    blocked(missing)
    said = call("export", checkpoint, "--format", format_, "--out", tmp_path / "out")
    assert said.exit_code == 3
    assert f"failed: {format_} fp32: {remedy}" in said.stdout
    assert not (tmp_path / "out").exists()


def test_what_one_format_lacks_does_not_keep_the_next_from_being_written(checkpoint, blocked, tmp_path):
    blocked("openvino")
    said = call("export", checkpoint, "--format", "openvino", "--format", "ncnn", "--out", tmp_path / "out")
    assert said.exit_code == 1
    assert (tmp_path / "out" / "tiny.param").is_file()


def test_the_command_prints_json(checkpoint, tmp_path):
    said = call("export", checkpoint, "--format", "ncnn", "--out", tmp_path / "out", "--json")
    document = json.loads(said.stdout)
    assert document["failed"] == []
    (described,) = document["artifacts"]
    assert decode(json.dumps(described).encode(), Artifact, "the command's output").model == "tiny"


def test_the_command_checks_every_format_before_the_first_export(checkpoint, tmp_path):
    for arguments, error in (
        (["--format", "ncnn", "--format", "onx"], UnknownNameError),
        (["--format", "ncnn", "--format", "pytorch", "--precision", "fp16"], UsageError),
    ):
        said = call("export", checkpoint, *arguments, "--out", tmp_path / "out")
        assert isinstance(said.exception, error)
    assert not (tmp_path / "out").exists()


def test_models_are_listed_with_source_digest_and_presence():
    said = call("models")
    assert said.exit_code == 0
    for entry in export.zoo.ENTRIES:
        assert entry.name in said.stdout
        assert entry.sha256 in said.stdout
        assert str(entry.source) in said.stdout
    listed = json.loads(call("models", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(export.zoo.names())
    assert listed[0]["parameters"] == 16_697_987
    assert {entry["present"] for entry in listed[3:]} == {False}


def test_fetching_an_unknown_model_names_the_nearest():
    assert "did you mean 'RealESRGAN_x2plus'" in str(call("models", "--fetch", "RealESRGAN_x2plu").exception)


def test_a_faster_process_wins(checkpoint, own_cache):
    made = ensure_artifact(str(checkpoint), NCNN, FP32)
    mine = own_cache / "artifacts" / "mine"
    shutil.copytree(made.folder, mine)
    (mine / SIDECAR).write_text("{}")
    assert shelf.Shelf(own_cache).keep(mine, Path(made.folder).name) == made
