"""A checkpoint that cannot be trusted or read: one message, exit code 2, no artifact, and the cache as it was."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

SHAPES_OF_ANOTHER = {"layers.0.attn.qkv.weight": (12, 4), "layers.0.attn.qkv.bias": (12,)}


class Runs:
    def __reduce__(self):
        return os.mkdir, ("boom",)


def running_code(folder: Path, weights) -> Path:
    import torch

    torch.save({"params": weights, "x": Runs()}, folder / "bad.pth")
    return folder / "bad.pth"


def zip_bomb(folder: Path, _) -> Path:
    with (
        zipfile.ZipFile(folder / "bad.pth", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/data/0", "w", force_zip64=True) as entry,
    ):
        for _ in range(512):
            entry.write(bytes(1 << 20))
    return folder / "bad.pth"


def not_a_number(folder: Path, weights) -> Path:
    import torch

    weights["conv_body.bias"][0] = float("nan")
    torch.save(weights, folder / "bad.pth")
    return folder / "bad.pth"


def truncated(folder: Path, weights) -> Path:
    import torch

    torch.save(weights, folder / "bad.pth")
    content = (folder / "bad.pth").read_bytes()
    (folder / "bad.pth").write_bytes(content[: len(content) // 2])
    return folder / "bad.pth"


def counts_that_disagree(folder: Path, weights) -> Path:
    (folder / "bad.param").write_text(
        "7767517\n6 7\nInput data 0 1 data\nSplit copies 1 2 data one two\n"
        "Convolution first 1 1 one a 0=2 1=3 4=1 5=1 6=54\nPReLU slopes 1 1 a b 0=2\n"
        "Convolution last 1 1 b c 0=3 1=3 4=1 5=1 6=54\nBinaryOp sum 2 1 c two output\n"
    )
    floats = (1 + 54 + 2) + 2 + (1 + 54 + 3)
    (folder / "bad.bin").write_bytes(bytes(4 * (floats - 1)))
    return folder / "bad.param"


def another_architecture(folder: Path, _) -> Path:
    import torch

    torch.save({name: torch.zeros(shape) for name, shape in SHAPES_OF_ANOTHER.items()}, folder / "bad.pth")
    return folder / "bad.pth"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (running_code, "it asks for posix.mkdir"),
        (zip_bomb, "would unfold to 536,870,912"),
        (not_a_number, "conv_body.bias holds NaN or infinity"),
        (truncated, "truncated or damaged"),
        (counts_that_disagree, "bad.bin is truncated: it ends before body.2"),
        (another_architecture, "are of no network known here; esrbench knows RRDBNet and SRVGGNetCompact"),
    ],
)
def test_export_refuses_it_and_leaves_everything_as_it_was(
    make: Callable[..., Path], message, esrbench, tiny_checkpoint, cache, tmp_path
):
    import torch

    esrbench("export", tiny_checkpoint, "--format", "ncnn")  # something is in the cache
    path = make(tmp_path, torch.load(tiny_checkpoint, weights_only=True)["params_ema"])
    before = contents(tmp_path, cache)
    done = esrbench("export", path, "--format", "ncnn", "--format", "onnx", "--out", "artifacts")
    assert (done.returncode, message in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert done.stderr.count("error") <= 1
    assert "Traceback" not in done.stderr
    assert contents(tmp_path, cache) == before


def contents(*folders: Path) -> dict[Path, int]:
    """When each file was written."""
    return {file: file.stat().st_mtime_ns for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()}
