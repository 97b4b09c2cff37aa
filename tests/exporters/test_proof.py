"""An export is compared with the network before it is kept, and can be compared again later."""

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from esrbench import cli, probe, proof, proof_worker, zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import (
    NCNN,
    PYTORCH,
    Artifact,
    ArtifactFile,
    Format,
    Interface,
    LocatedArtifact,
    describe_file,
)
from esrbench.checkpoints.identify import digest
from esrbench.cli import export as _export_command
from esrbench.codec import decode
from esrbench.delivery import export_to
from esrbench.errors import CheckpointError, ExportError, OutputError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions, Model
from esrbench.fidelity import psnr_db
from esrbench.runner import DeviceType
from esrbench.target import Precision, Target
from esrbench.testing import (
    FAKE,
    FAKE_ENTRY_POINTS,
    SCRIPTS_VARIABLE,
    FakeExporter,
    FakeRunner,
    FakeScript,
    encode_scripts,
    write_distribution,
)
from esrbench.verification import Verified, verify
from esrbench_exporters.ncnn_model import NcnnExporter

assert _export_command
OTHER = Format("other")
PLUGINS = """
import os, signal
from esrbench import plugins
from esrbench.exporter import Exporter
from esrbench.runner import Runner
from esrbench.target import Precision

class OtherExporter(Exporter):
    format = "other"
    precisions = frozenset({Precision.FP32})
    proved_by = ("other",)

    def versions(self):
        return {}

    def export(self, model, options, out_dir):
        weights = dict(model.weights)
        if os.environ["ESRBENCH_TEST_FAULT"] == "wrong":
            weights["body.0.bias"] = weights["body.0.bias"] + 0.25
        model = type(model)(name=model.name, spec=model.spec, weights=weights, weights_sha256="", source="")
        return plugins.exporter("ncnn").export(model, options, out_dir)

class OtherRunner(Runner):
    name = "other"
    accepts = frozenset({"other"})

    def targets(self):
        return ()

    def artifact_precision(self, target):
        return Precision.FP32

    def load(self, artifact, target, options):
        if os.environ["ESRBENCH_TEST_FAULT"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return plugins.runner("ncnn").load_for_proof(artifact, options)
"""


@pytest.fixture
def checkpoint(random_model, tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    return NcnnExporter().export(random_model(SRVGGNetSpec(convs=0, features=4)), ExportOptions(), folder).paths[0]


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A format of another distribution, whose runtime runs NCNN's files; its faults are chosen by the test."""
    site = tmp_path / "site"
    entries = {
        "esrbench.exporters": {"other": "other_plugins:OtherExporter"},
        "esrbench.runners": {"other": "other_plugins:OtherRunner"},
    }
    write_distribution(site, "esrbench-other", entries)
    (site / "other_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return lambda fault: monkeypatch.setenv("ESRBENCH_TEST_FAULT", fault)


def call(*arguments: object):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=True)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_a_right_export_bears_its_figures(precision, checkpoint):
    pytest.importorskip("ncnn")
    artifact = ensure_artifact(str(checkpoint), NCNN, ExportOptions(precision=precision)).artifact
    assert artifact.unproved is None
    assert artifact.proof.runtime == "ncnn"
    assert [shape.shape for shape in artifact.proof.shapes] == [(2, 24, 24), (1, 37, 53), (1, 1, 48)]
    assert psnr_db(artifact.proof.mse) > {Precision.FP32: 100, Precision.FP16: 45}[precision]
    assert len({shape.output_sha256 for shape in artifact.proof.shapes}) == 3


def test_sides_are_made_divisible_for_networks_that_fold_their_picture(random_model, tmp_path):
    pytest.importorskip("ncnn")
    model = random_model(RRDBNetSpec(blocks=1, features=8, growth=4, scale=1))
    path = NcnnExporter().export(model, ExportOptions(), tmp_path).paths[0]
    proved = ensure_artifact(str(path), NCNN).artifact.proof
    assert [shape.shape for shape in proved.shapes] == [(2, 24, 24), (1, 40, 56), (1, 4, 48)]
    assert psnr_db(proved.mse) > 100


def test_an_export_that_draws_another_picture_is_not_kept(checkpoint, other, own_cache, tmp_path):
    pytest.importorskip("ncnn")
    other("wrong")
    said = call("export", checkpoint, "--format", "other", "--format", "ncnn", "--out", tmp_path / "out")
    assert said.exit_code == 1, said.output
    assert "failed: other fp32: tiny.param draws another picture than the network: " in said.stdout
    assert "fp32 must reach 80 dB" in said.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tiny.bin", "tiny.param", "tiny.param.json"]
    assert len(list((own_cache / "artifacts").iterdir())) == 1


def test_a_runtime_that_crashes_on_an_export_is_named(checkpoint, other):
    other("crash")
    with pytest.raises(ExportError, match=r"running tiny.param to compare .* ended by SIGSEGV"):
        ensure_artifact(str(checkpoint), OTHER)


def test_a_format_that_no_runtime_loads_is_kept_and_says_so(checkpoint, other, tmp_path, monkeypatch):
    other("right")
    entries = {"esrbench.exporters": {"other": "other_plugins:OtherExporter"}}
    write_distribution(tmp_path / "lone", "esrbench-other", entries)
    (tmp_path / "lone" / "other_plugins.py").write_text(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lone"))
    said = call("export", checkpoint, "--format", "other", "--out", tmp_path / "out")
    assert said.exit_code == 0, said.output
    assert "tiny.param: not proved: other: no runtime is named 'other'" in said.stdout


def halves(tmp_path, monkeypatch) -> tuple[Path, LocatedArtifact]:
    """A checkpoint of the network that repeats pixels, and its fp16 file for the fake runtime, which is installed."""
    write_distribution(tmp_path / "fakes", "esrbench-fakes", FAKE_ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path / "fakes")
    spec = SRVGGNetSpec(convs=0, features=4)
    weights = {name: np.zeros(shape, np.float32) for name, shape in spec.parameter_shapes().items()}
    model = Model(name="tiny", spec=spec, weights=weights, weights_sha256="", source="")
    path = NcnnExporter().export(model, ExportOptions(), tmp_path).paths[0]
    options = ExportOptions(precision=Precision.FP16)
    file = FakeExporter().export(model, options, tmp_path).paths[0]
    made = Artifact(
        model="tiny", format=FAKE, precision=Precision.FP16, spec=spec, exporter="fake", options={}, versions={},
        weights_sha256=digest(weights), files=(describe_file(file),),
    )  # fmt: skip
    return path, LocatedArtifact(artifact=made, folder=str(tmp_path))


GPU = FakeScript(target=Target("fake@cuda:fp16"), device_type=DeviceType.GPU)
SOFTWARE = FakeScript(target=Target("fake@vulkan:fp16"), device_type=DeviceType.SOFTWARE)
BF16_CPU = FakeScript(target=Target("fake@cpu:bf16"))


def test_fp16_is_proved_in_fp16_where_a_device_here_has_it(tmp_path, monkeypatch):
    path, located = halves(tmp_path, monkeypatch)
    monkeypatch.setenv(SCRIPTS_VARIABLE, encode_scripts([GPU]))
    job = proof.ProofJob(checkpoint=str(path), model="tiny", located=located, on=GPU.target)
    proved = proof_worker.carry_out(job).proof
    assert proved.arithmetic is Precision.FP16
    assert proved.half_range.largest_activation == 1.0  # white
    assert proved.half_range.rounded_mse < 1e-7
    assert proof.fault(located, proved) is None


@pytest.mark.parametrize(
    ("precision", "scripts", "chosen"),
    [
        (Precision.FP16, [SOFTWARE, GPU], GPU.target),
        (Precision.FP16, [SOFTWARE], None),
        (Precision.BF16, [GPU, BF16_CPU], None),  # on any CPU bf16 may be fp32 with conversions
        (Precision.FP32, [GPU], None),
    ],
)
def test_a_device_that_only_seems_to_compute_in_halves_is_passed_over(
    precision, scripts, chosen, tmp_path, monkeypatch
):
    _, located = halves(tmp_path, monkeypatch)
    found = probe.Probed(targets=tuple(FakeRunner(scripts).targets()), broken=())
    monkeypatch.setattr(proof.probe, "ask", lambda names: found if names == ("fake",) else pytest.fail(str(names)))
    assert proof._native(msgspec.structs.replace(located.artifact, precision=precision)) == chosen


def test_where_the_device_fails_the_cpu_proves(tmp_path, monkeypatch):
    path, located = halves(tmp_path, monkeypatch)
    asked = []

    def ask(_module, job, _type, _what):
        asked.append(job.on)
        if job.on:
            raise ExportError("out of memory")
        return proof.ProofAnswer(unproved="asked")

    monkeypatch.setattr(proof, "_native", lambda _: GPU.target)
    monkeypatch.setattr(proof.child, "ask", ask)
    file = zoo.locate(str(path))
    assert proof.prove(file, located).unproved == "asked"
    assert asked == [GPU.target, None]


def exported(checkpoint: Path, out: Path) -> LocatedArtifact:
    pytest.importorskip("ncnn")
    return export_to(str(checkpoint), NCNN, ExportOptions(), out)


def test_files_are_proved_again(checkpoint, tmp_path):
    made = exported(checkpoint, tmp_path / "out")
    (found,) = verify(tmp_path / "out", str(checkpoint))
    assert found == Verified(
        sidecar="tiny.param.json", artifact=made.artifact, proof=made.artifact.proof, identical=True
    )
    said = call("export", checkpoint, "--verify", tmp_path / "out", "--json")
    assert said.exit_code == 0
    assert decode(said.stdout.encode(), list[Verified], "the command's output") == [found]


def test_a_changed_file_is_no_longer_right(checkpoint, tmp_path):
    exported(checkpoint, tmp_path / "out")
    with (tmp_path / "out" / "tiny.bin").open("ab") as file:
        file.write(b"more")
    said = call("export", checkpoint, "--verify", tmp_path / "out")
    assert said.exit_code == 1
    assert "tiny.bin is missing or was changed since its export" in said.stdout


def test_files_that_describe_themselves_anew_are_still_compared(checkpoint, random_model, tmp_path):
    """Whoever replaces the weights and the digests is found out by the picture."""
    out = tmp_path / "out"
    made = exported(checkpoint, out)
    NcnnExporter().export(random_model(made.artifact.spec, seed=1), ExportOptions(), out)
    sidecar = json.loads((out / "tiny.param.json").read_text())
    from esrbench.artifact import sha256_of

    sidecar["files"][1]["sha256"] = sha256_of(out / "tiny.bin")
    (out / "tiny.param.json").write_text(json.dumps(sidecar))
    (found,) = verify(out, str(checkpoint))
    assert "draws another picture" in found.problem
    assert found.identical is False


def test_another_checkpoint_proves_nothing(checkpoint, random_model, tmp_path):
    made = exported(checkpoint, tmp_path / "out")
    (tmp_path / "else").mkdir()
    another = random_model(made.artifact.spec, seed=1)
    path = NcnnExporter().export(another, ExportOptions(), tmp_path / "else").paths[0]
    (found,) = verify(tmp_path / "out", str(path))
    assert "name the checkpoint that it was exported from" in found.unproved


def test_without_its_checkpoint_a_model_of_no_name_cannot_be_proved(checkpoint, tmp_path):
    exported(checkpoint, tmp_path / "out")
    said = call("export", "--verify", tmp_path / "out")
    assert said.exit_code == 1
    assert "esrbench export CHECKPOINT --verify DIR" in " ".join(said.stdout.split())


def test_a_folder_without_artifacts_is_refused(tmp_path):
    with pytest.raises(OutputError, match="holds no artifact's description"):
        verify(tmp_path)
    with pytest.raises(OutputError, match="is not a folder"):
        verify(tmp_path / "absent")
    (tmp_path / "x.json").write_text("damaged")
    (tmp_path / "x").write_text("what it describes")
    with pytest.raises(CheckpointError, match="is a folder, not a checkpoint"):
        verify(tmp_path, str(tmp_path))
    (found,) = verify(tmp_path)
    assert "x.json is not a valid Artifact" in found.problem


class Drawing:
    """A session that returns what it is given."""

    def __init__(self, output):
        self.output = output

    def run(self, tiles):
        return self.output(tiles)


def artifact(io: Interface, spec: RRDBNetSpec | SRVGGNetSpec) -> Artifact:
    return Artifact(
        model="tiny", format=PYTORCH, precision=Precision.FP32, spec=spec, weights_sha256="", exporter="pytorch",
        files=(ArtifactFile(name="tiny", size_bytes=0, sha256=""),), options={}, versions={}, io=io,
    )  # fmt: skip


def draw(tiles):
    return tiles


SAME_SIZE = SRVGGNetSpec(convs=0, scale=1)


def test_values_that_are_no_numbers_count_as_wrong_all_over():
    found = proof.compare(
        (1, 8, 8), Drawing(lambda tiles: np.full_like(tiles, np.nan)), draw, artifact("float", SAME_SIZE)
    )
    assert (found.mse, found.worst_abs) == (1.0, 1.0)


def test_rounding_to_bytes_is_no_error():
    spec = RRDBNetSpec(blocks=1, scale=1)
    found = proof.compare((1, 7, 9), Drawing(lambda tiles: tiles), draw, artifact(Interface.IMAGE, spec))
    assert (found.shape, found.mse) == ((1, 7, 9), 0)
    assert math.isinf(psnr_db(found.mse))
    off = proof.compare((1, 7, 9), Drawing(lambda tiles: tiles ^ 1), draw, artifact(Interface.IMAGE, spec))
    assert off.worst_abs == pytest.approx(0.5 / 255, rel=1e-4)


def test_an_output_of_another_size_is_refused():
    with pytest.raises(ExportError, match=r"tiny drew \(1, 4, 8, 3\) of \(1, 8, 8, 3\)"):
        proof.compare((1, 8, 8), Drawing(lambda tiles: tiles[:, :4]), draw, artifact(Interface.FLOAT, SAME_SIZE))


def test_every_channel_is_fed():
    spec = RRDBNetSpec(blocks=1, in_channels=5)
    assert proof.pictures((2, 3, 4), spec).shape == (2, 3, 4, 5)


@pytest.mark.parametrize("shape", ["64", "64x", "0x8", "1x2x3x4", "axb", "-1x8"])
def test_a_shape_of_another_form_is_refused(shape, checkpoint, tmp_path):
    said = call("export", checkpoint, "--format", "onnx", "--shape", shape, "--out", tmp_path / "out")
    assert "is not of the form HxW" in str(said.exception)


def test_an_option_that_no_format_has_is_refused(checkpoint, tmp_path):
    said = call("export", checkpoint, "--format", "ncnn", "--opset", "18", "--out", tmp_path / "out")
    assert "--opset: no format here has that; asked for: ncnn" in str(said.exception)


def test_a_model_must_be_named(tmp_path):
    assert "which model?" in str(call("export", "--out", tmp_path / "out").exception)
