"""Upscaling draws the whole picture, keeps what it was, and refuses early what cannot be done."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from esrbench import automatic, export, images, plugins, probe, tiling, upscale
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import Artifact, LocatedArtifact, describe_file
from esrbench.cli import app, exit_code
from esrbench.cli import upscale as command  # registers the command
from esrbench.errors import (
    CheckpointError,
    EsrbenchError,
    ImageError,
    OutOfMemoryError,
    OutputError,
    PlacementError,
    TilingError,
    UnavailableError,
    UnknownNameError,
    UsageError,
)
from esrbench.exporter import ExportOptions
from esrbench.images import Picture
from esrbench.runner import Availability, DeviceType
from esrbench.target import Target
from esrbench.testing import FAKE, FakeExporter, FakeRunner, FakeScript, Fault

FAKE_CPU = "fake@cpu:fp32"
SPEC = SRVGGNetSpec(convs=1, features=4, scale=2)
RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ×2 network of all zeros: it repeats pixels, as the fakes do."""
    import torch

    path = tmp_path_factory.mktemp("model") / "tiny.pth"
    torch.save({name: torch.zeros(shape) for name, shape in SPEC.parameter_shapes().items()}, path)
    return str(path)


@pytest.fixture
def scripts() -> list[FakeScript]:
    return [FakeScript(target=Target(FAKE_CPU))]


@pytest.fixture(autouse=True)
def fakes(scripts: list[FakeScript], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake runtime beside the real ones, its artifact made here, and runtimes asked in this process."""
    folder = tmp_path_factory.mktemp("artifact")
    real_runner = plugins.runner

    def runner(name: str) -> Any:
        return FakeRunner(scripts) if name == "fake" else real_runner(name)

    def ensure_artifact(ref: str, format_: str, options: ExportOptions, **_: object) -> LocatedArtifact:
        path = folder / "tiny.fake"
        path.write_text(str(SPEC.scale), encoding="utf-8")
        artifact = Artifact(
            model="tiny",
            format=FAKE,
            precision=options.precision,
            spec=SPEC,
            weights_sha256="",
            files=(describe_file(path),),
            exporter="fake",
            options={},
            versions={},
        )
        return LocatedArtifact(artifact=artifact, folder=str(folder))

    def ask(names: object = None) -> probe.Probed:
        return probe.Probed(targets=tuple(FakeRunner(scripts).targets()), broken=())

    monkeypatch.setattr(plugins, "runner", runner)
    monkeypatch.setattr(plugins, "exporter", lambda _: FakeExporter())
    monkeypatch.setattr(export, "ensure_artifact", ensure_artifact)
    monkeypatch.setattr(probe, "ask", ask)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    images.write(tmp_path / "in.png", Picture(rgb=images.sample("chelsea")[:70, :91]))
    return tmp_path / "in.png"


def run(photo: Path, checkpoint: str, **changes: Any) -> upscale.Upscaled:
    given_ = {
        "source": photo, "destination": photo.parent / "out.png", "threads": 1, "model": checkpoint, "target": FAKE_CPU,
    }  # fmt: skip
    return upscale.upscale(upscale.Request(**(given_ | changes)), lambda text: None, lambda done, total: None)


def nearest(rgb: np.ndarray) -> np.ndarray:
    return rgb.repeat(2, 0).repeat(2, 1)


def left_behind(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"in.png"}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 200), (3, 5), (40, 40), (101, 57), (200, 193)])
@pytest.mark.parametrize("tile", [None, 40])
def test_a_picture_of_any_size_is_drawn_whole(
    tmp_path: Path, checkpoint: str, height: int, width: int, tile: int | None
) -> None:
    rgb = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    images.write(tmp_path / "in.png", Picture(rgb=rgb))
    done = run(tmp_path / "in.png", checkpoint, tile=tile)
    back = images.read(tmp_path / "out.png")
    np.testing.assert_array_equal(back.rgb, nearest(rgb))
    assert (done.width_px, done.height_px) == (2 * width, 2 * height)
    assert (done.target, done.device_name, done.model) == (FAKE_CPU, "a fake", "tiny")


def test_grey_transparency_and_profile_are_kept(tmp_path: Path, checkpoint: str) -> None:
    grey = np.repeat(RNG.integers(0, 256, (20, 30, 1), dtype=np.uint8), 3, axis=2)
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:, 15:] = 255
    images.write(tmp_path / "in.png", Picture(rgb=grey, alpha=alpha, grey=True, icc_profile=b"grey"))
    run(tmp_path / "in.png", checkpoint)
    back = images.read(tmp_path / "out.png")
    assert back.grey
    assert back.icc_profile == b"grey"
    np.testing.assert_array_equal(back.rgb, nearest(grey))
    assert back.alpha is not None
    assert back.alpha.shape == (40, 60)
    assert (back.alpha[:, :26] == 0).all()
    assert (back.alpha[:, 34:] == 255).all()


def test_progress_is_told_tile_by_tile(photo: Path, checkpoint: str) -> None:
    ticks: list[tuple[int, int]] = []
    request = upscale.Request(
        source=photo,
        destination=photo.parent / "out.png",
        threads=1,
        model=checkpoint,
        target=FAKE_CPU,
        tile=60,
        halo=4,
    )
    said: list[str] = []
    done = upscale.upscale(request, said.append, lambda done, total: ticks.append((done, total)))
    assert ticks == [(count, done.tiles) for count in range(done.tiles + 1)]
    assert said[0] == "fake@cpu:fp32 on a fake"
    assert said[1].endswith("to fake fp32, or taking it from the cache")


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"source": Path("absent.png")}, ImageError, "no picture at absent.png"),
        ({"source": Path()}, ImageError, "is a folder"),
        ({"destination": Path("absent/out.png")}, OutputError, "no folder"),
        ({"destination": Path()}, OutputError, "is a folder"),
        ({"destination": Path("out.xyz")}, ImageError, r"use \.png"),
        ({"model": "realesrgan-x4plos"}, UnknownNameError, "did you mean 'realesrgan-x4plus'"),
        ({"model": "absent.pth"}, CheckpointError, "absent.pth: there is no such file"),
        ({"target": "fake"}, UsageError, "not of the form"),
        ({"target": "onnxruntme@cpu:fp32"}, UnknownNameError, "did you mean 'onnxruntime'"),
        ({"target": "fake@cpu:fp16"}, UnknownNameError, "did you mean 'fake@cpu:fp32'"),
        ({"tile": 32, "halo": 16}, TilingError, "tile 32 with halo 16"),
        ({"tile": 0}, TilingError, "tile 0"),
        ({"tile": -5}, TilingError, "tile -5"),
        ({"halo": -1}, TilingError, "halo -1"),
        ({"threads": 0}, UsageError, "0 threads"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    photo: Path, checkpoint: str, changes: dict[str, Any], kind: type[UsageError], says: str
) -> None:
    with pytest.raises(kind, match=says) as refused:
        run(photo, checkpoint, **changes)
    assert exit_code(refused.value) == 2
    assert not left_behind(photo.parent)


def test_a_picture_is_not_replaced_by_its_own_enlargement(photo: Path, checkpoint: str) -> None:
    before = photo.read_bytes()
    (photo.parent / "link.png").symlink_to(photo)
    for destination in (photo, photo.parent / "link.png"):
        with pytest.raises(OutputError, match="is the picture to upscale"):
            run(photo, checkpoint, destination=destination)
    assert photo.read_bytes() == before


def test_a_format_that_cannot_hold_the_result_is_refused_before_any_work(photo: Path, checkpoint: str) -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    images.write(photo, Picture(rgb=rgb, alpha=rgb[..., 0].copy()))
    with pytest.raises(ImageError, match="has transparency"):
        run(photo, checkpoint, destination=photo.parent / "out.jpg", target="never@asked:fp32")
    images.write(photo, Picture(rgb=np.zeros((1, 9000, 3), np.uint8)))
    with pytest.raises(ImageError, match="WEBP holds at most 16383"):
        run(photo, checkpoint, destination=photo.parent / "out.webp", target="never@asked:fp32")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (
            Fault.UNAVAILABLE,
            UnavailableError("fake@cpu:fp32 cannot run here: scripted to be unavailable", "change the script"),
        ),
        (Fault.FELL_BACK, PlacementError("fake@cpu:fp32: scripted to fall back", "change the script")),
        (
            Fault.OOM,
            OutOfMemoryError(
                "memory ran out on fake@cpu:fp32 with tiles of 91 pixels: "
                "fake@cpu:fp32: scripted to run out of memory; try a smaller --tile"
            ),
        ),
        (Fault.NAN, EsrbenchError("99372 of the 99372 values of a tile are NaN or infinite; try another --target")),
        (Fault.RAISE, RuntimeError("scripted to raise")),
    ],
)
def test_a_failure_leaves_the_old_result_and_nothing_half_written(
    photo: Path, checkpoint: str, scripts: list[FakeScript], fault: Fault, error: Exception
) -> None:
    scripts[0] = FakeScript(target=Target(FAKE_CPU), fault=fault)
    (photo.parent / "out.png").write_bytes(b"old")
    with pytest.raises(type(error), match=str(error)):
        run(photo, checkpoint, tile=91)
    assert (photo.parent / "out.png").read_bytes() == b"old"
    assert left_behind(photo.parent) == {"out.png"}


def entries(*texts: str, software: bool = False) -> tuple[Availability, ...]:
    def kind(target: Target) -> DeviceType:
        if target.device_kind == "cpu":
            return DeviceType.CPU
        return DeviceType.SOFTWARE if software else DeviceType.GPU

    return tuple(
        Availability(target=Target(text), usable=True, device_name="a device", device_type=kind(Target(text)))
        for text in texts
    )


@pytest.mark.parametrize(
    ("usable", "chosen"),
    [
        (entries("torch@cpu:fp32", "openvino@cpu:fp32", "openvino@cpu:bf16"), "openvino@cpu:fp32"),
        (entries("torch@cpu:fp32", "ncnn@cpu:fp32"), "torch@cpu:fp32"),
        (entries("torch@cpu:fp32", "somebodys@cpu:fp32"), "torch@cpu:fp32"),
        (entries("somebodys@cpu:fp32"), "somebodys@cpu:fp32"),
        (entries("openvino@cpu:fp32", "ncnn@vulkan:fp16"), "ncnn@vulkan:fp16"),
        (entries("ncnn@vulkan:fp32", "torch@cuda1:fp16", "torch@cuda:fp16", "torch@cuda:fp32"), "torch@cuda:fp16"),
        (entries("torch@cuda:int8", "torch@cpu:fp32"), "torch@cpu:fp32"),
        (entries("torch@cpu:fp32") + entries("ncnn@vulkan:fp16", software=True), "torch@cpu:fp32"),
    ],
)
def test_auto_takes_a_gpu_else_the_cpu_at_full_precision(usable: tuple[Availability, ...], chosen: str) -> None:
    unusable = Availability(target=Target("onnxruntime@cuda:fp16"), usable=False, device_type=DeviceType.GPU)
    assert automatic.best((unusable, *usable)).target == chosen
    assert automatic.best((unusable, *reversed(usable))).target == chosen


def test_auto_never_takes_a_software_graphics_device() -> None:
    with pytest.raises(UnavailableError, match=r"auto finds no GPU.*see esrbench doctor"):
        automatic.best(entries("ncnn@vulkan:fp16", software=True))


def test_auto_asks_every_runtime(photo: Path, checkpoint: str) -> None:
    assert run(photo, checkpoint, target="auto").target == FAKE_CPU


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 20), st.sampled_from([1, 2, 4]))
def test_the_automatic_tile_is_legal_and_no_dearer_than_the_largest(
    height: int, width: int, halo: int, multiple: int
) -> None:
    tile = automatic.cheapest_tile(height, width, halo=halo, multiple=multiple)

    def cost(tile: int) -> int:
        return tiling.window_count(height, width, tile=tile, halo=halo, multiple=multiple) * tile**2

    assert tile <= automatic.LARGEST_TILE_PX
    assert cost(tile) <= cost(automatic.LARGEST_TILE_PX)


def test_the_automatic_tile_suits_the_picture() -> None:
    assert automatic.cheapest_tile(512, 512, halo=16, multiple=1) == 192
    assert automatic.cheapest_tile(100, 100, halo=16, multiple=1) == 100
    assert automatic.cheapest_tile(200, 200, halo=16, multiple=1) == 116
    assert automatic.cheapest_tile(1, 1, halo=16, multiple=4) == 36
    assert automatic.cheapest_tile(2000, 2000, halo=349, multiple=1) > 2 * 349


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["upscale", *arguments])


def test_the_command_says_what_it_did_and_how_far_it_is(photo: Path, checkpoint: str) -> None:
    out = str(photo.parent / "out.webp")
    shown = invoke(str(photo), out, "--model", checkpoint, "--target", FAKE_CPU, "--tile", "48")
    assert shown.exit_code == 0, shown.output
    assert f"{out}: 182×140 px by tiny on {FAKE_CPU}" in shown.stdout
    lines = [line for line in shown.stderr.splitlines() if line.endswith("tiles")]
    assert 1 < len(lines) <= command.LINES
    assert lines[-1].split()[0] == lines[-1].split()[2]
    np.testing.assert_array_equal(images.read(Path(out)).rgb, nearest(images.read(photo).rgb))


def test_the_command_can_speak_json(photo: Path, checkpoint: str) -> None:
    shown = invoke(str(photo), str(photo.parent / "o.png"), "--model", checkpoint, "--target", FAKE_CPU, "--json")
    told = json.loads(shown.stdout)
    assert (told["width_px"], told["height_px"], told["tile_px"], told["halo_px"]) == (182, 140, 91, 3)


@pytest.mark.parametrize("tile", ["big", "1.5", ""])
def test_a_tile_that_is_no_number_is_refused(photo: Path, tile: str) -> None:
    shown = invoke(str(photo), str(photo.parent / "o.png"), "--tile", tile)
    assert isinstance(shown.exception, UsageError)
    assert "a number of pixels, or auto" in str(shown.exception)


def esrbench(cache: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "esrbench", *arguments],
        env=os.environ | {"ESRBENCH_CACHE": str(cache)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_whole_way_draws_a_picture_with_a_real_runtime(photo: Path, checkpoint: str, tmp_path: Path) -> None:
    out = photo.parent / "out.png"
    done = esrbench(
        tmp_path / "cache", "upscale", str(photo), str(out), "--model", checkpoint, "--target", "torch@cpu:fp32"
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(images.read(out).rgb, nearest(images.read(photo).rgb))


def test_bad_input_ends_with_one_message_and_exit_code_2(photo: Path, checkpoint: str, tmp_path: Path) -> None:
    photo.write_text("no picture")
    done = esrbench(tmp_path / "cache", "upscale", str(photo), str(photo.parent / "out.png"), "--model", checkpoint)
    assert done.returncode == 2
    assert done.stderr.startswith(f"esrbench: {photo} is not a picture")
    assert done.stderr.count("\n") == 1
    assert not left_behind(photo.parent)


def test_a_tile_larger_than_the_picture_is_no_larger_than_it_needs_to_be(photo: Path, checkpoint: str) -> None:
    picture = images.read(photo)
    spec = RRDBNetSpec(blocks=1, scale=2)
    plan = upscale._plan(picture, spec, 100_000, 8)
    assert len(plan.windows) == 1
    assert max(picture.height, picture.width) <= plan.tile <= max(picture.height, picture.width) + 1
