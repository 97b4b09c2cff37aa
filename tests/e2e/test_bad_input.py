"""What the user may get wrong: one message, exit code 2, nothing half-written."""

import pytest

from esrbench.target import Target
from esrbench.testing import FakeScript, Fault, Moment

TARGET = "fake@cpu:fp32"


@pytest.fixture
def fake(scripted):
    scripted([FakeScript(target=Target(TARGET))])


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "quik"], "did you mean 'quick'"),
        pytest.param(["--model", "realesrgan-x4pluss"], "did you mean 'realesrgan-x4plus'", marks=pytest.mark.slow),
        (["--model", "none.pth"], "none.pth"),
        pytest.param(["--model", "text.pth"], "text.pth", marks=pytest.mark.slow),
        (["--model", "."], "folder"),
        (["--model", "other.pth"], "other.pth"),
        (["--target", "torch"], "RUNTIME@DEVICE:PRECISION"),
        pytest.param(["--target", "onnxruntim@cpu:fp32"], "did you mean 'onnxruntime'", marks=pytest.mark.slow),
        (["--target", "fake@cpu:fp16"], "did you mean 'fake@cpu:fp32'"),
        pytest.param(["--image", "none.png"], "none.png", marks=pytest.mark.slow),
        (["--image", "."], "folder"),
        pytest.param(["--image", "empty.png"], "empty.png", marks=pytest.mark.slow),
        pytest.param(["--image", "truncated.png"], "truncated.png", marks=pytest.mark.slow),
        pytest.param(["--image", "text.pth"], "text.pth", marks=pytest.mark.slow),
        (["--tile", "16", "--halo", "8"], "halo"),
        pytest.param(["--tile", "-4"], "tile", marks=pytest.mark.slow),
        pytest.param(["--batch", "0"], "batch", marks=pytest.mark.slow),
        (["--threads", "0"], "--threads = 0 was asked for"),
        (["--budget", "-5s"], "budget"),
        (["--budget", "1s"], "budget_s = 1.0 was asked for"),
        (["--budget", "soon"], "not a duration"),
        (["--out", "taken"], "exists already"),
        pytest.param(["--out", "text.pth/run"], "text.pth", marks=pytest.mark.slow),
        (["--reports", "pages"], "not a report's"),
    ],
)
def test_bench_refuses_with_one_message_and_leaves_nothing(
    esrbench, tmp_path, zero_checkpoint, bad_files, arguments, message
):
    before = sorted(path for path in tmp_path.rglob("*"))
    defaults = {"--target": TARGET, "--model": str(zero_checkpoint), "--image": "astronaut", "--out": "results/run"}
    for option, value in defaults.items():
        if option not in arguments:
            arguments = [*arguments, option, value]
    done = esrbench("bench", *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.fixture
def bad_files(tmp_path):
    import torch
    from PIL import Image

    (tmp_path / "text.pth").write_text("this is not a checkpoint\n")
    (tmp_path / "empty.png").touch()
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "truncated.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    torch.save({"params": {"some.other.key": torch.zeros(3)}}, tmp_path / "other.pth")
    (tmp_path / "pages" / "run").mkdir(parents=True)
    (tmp_path / "pages" / "run" / "thesis.txt").write_text("mine")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text("{}")


def test_nothing_usable_is_exit_code_three(esrbench, scripted, zero_checkpoint, tmp_path):
    scripted([FakeScript(target=Target(TARGET), fault=Fault.UNAVAILABLE, moment=Moment.PROBE)])
    done = esrbench("bench", "--model", zero_checkpoint, "--target", TARGET, "--out", "results/run")
    assert done.returncode == 3
    assert f"scripted to be unavailable ({TARGET})" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments", [["report", "none"], ["report", "."], ["export", "none.pth", "--out", "o"], ["bogus"]]
)
def test_other_commands_refuse_with_exit_code_two(esrbench, arguments):
    done = esrbench(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
