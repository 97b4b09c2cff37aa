"""What a recorded run recommends, and what it must not be asked for."""

from types import SimpleNamespace

import msgspec
import pytest
from recorded import TORCH, environment, launch, memory, rewritten, samples, workload, write_run
from typer.testing import CliRunner

from esrbench import upscale
from esrbench.cli import app
from esrbench.cli import upscale as command  # noqa: F401  (registers the command)
from esrbench.errors import RecordError, UsageError
from esrbench.measured import memory_gb, recommended
from esrbench.record import Status, TrialRecord, TuningRecord
from esrbench.settings import Settings
from esrbench.target import Target

NCNN = "ncnn@cpu:fp32"
HERE = environment()
WEIGHTS = "ab" * 32


@pytest.fixture
def run(tmp_path):
    made = [(TORCH, 64, 1, 2.0, 400), (TORCH, 128, 1, 1.5, 700), (NCNN, 64, 1, 1.0, 900), (NCNN, 128, 2, 0.5, 1000)]
    launches = [
        launch(target, workload_id=f"t{tile}b{batch}", samples=samples(seconds), memory=memory(mb))
        for target, tile, batch, seconds, mb in made
    ]
    sizes = dict.fromkeys((tile, batch) for _, tile, batch, *_ in made)
    workloads = [workload(f"t{tile}b{batch}", tile=tile, batch=batch, side=48) for tile, batch in sizes]
    return write_run(tmp_path / "run", launches, workloads=workloads)


def asked(run, here=HERE, weights=WEIGHTS, **wanted):
    given = {"target": None, "tile_px": None, "budget_gb": None} | wanted
    found = recommended(run, here, weights, **given)
    return str(found.target), found.tile_px


def test_the_fastest_in_batches_of_one_within_the_budget_is_recommended(run):
    assert asked(run) == (TORCH, 128)
    assert asked(run, budget_gb=0.5) == (TORCH, 64)


def test_a_target_or_tile_that_was_asked_for_is_kept(run):
    assert asked(run, target=NCNN) == (NCNN, 64)
    assert asked(run, tile_px=64, budget_gb=0.5) == (TORCH, 64)


def test_int8_has_to_be_named_as_its_picture_is_a_trade(tmp_path):
    int8 = "openvino@cpu:int8"
    launches = [launch(target, samples=samples(seconds)) for target, seconds in ((TORCH, 2.0), (int8, 0.5))]
    run = write_run(tmp_path / "run", launches)
    assert asked(run) == (TORCH, 48)
    assert asked(run, target=int8) == (int8, 48)


def test_a_budget_that_nothing_fits_names_the_least_that_is_needed(run):
    with pytest.raises(UsageError, match=r"nothing in run fits; the least is 0.40 GB, torch@cpu:fp32 with tiles of 64"):
        asked(run, budget_gb=0.1)


def test_a_size_that_was_not_measured_is_not_guessed(run):
    with pytest.raises(UsageError, match="no such target and tile"):
        asked(run, tile_px=96)


def test_another_machine_or_other_weights_are_refused(run):
    with pytest.raises(UsageError, match=r"this machine is AMD EPYC, 2 cores, a GPU \(avx2\)"):
        asked(run, here=environment(["a GPU"]))
    with pytest.raises(UsageError, match=r"on AMD EPYC, 2 cores \(avx2\), this machine is .* \(avx2, avx512f\)"):
        asked(run, here=msgspec.structs.replace(HERE, cpu_features=("avx2", "avx512f")))
    with pytest.raises(UsageError, match="other weights"):
        asked(run, weights="cd" * 32)


def test_auto_becomes_what_was_measured_and_what_was_asked_for_stays(run, monkeypatch, tmp_path):
    monkeypatch.setattr(upscale.environment, "describe", lambda: HERE)
    monkeypatch.setattr(upscale.zoo, "open_rgb_model", lambda model: SimpleNamespace(weights_sha256=WEIGHTS))
    asked_for = upscale.Request(
        source=tmp_path / "a.png", destination=tmp_path / "b.png", threads=1, run=run.folder, memory_gb=0.5
    )
    said = []
    made = upscale._as_measured(asked_for, said.append)
    assert (made.target, made.tile, made.halo) == (TORCH, 64, 8)
    assert "0.40 GB beside the picture itself" in said[0]
    assert upscale._as_measured(msgspec.structs.replace(asked_for, halo=20), said.append).halo == 20


def test_settings_that_the_runner_does_not_name_reach_no_runtime(run, monkeypatch, tmp_path):
    monkeypatch.setattr(upscale.environment, "describe", lambda: HERE)
    monkeypatch.setattr(upscale.zoo, "open_rgb_model", lambda model: SimpleNamespace(weights_sha256=WEIGHTS))
    settings = Settings(values={"CACHE_DIR": str(tmp_path / "outside")})
    tried = (TrialRecord(settings=settings, status=Status.OK, image_s=(1.0,)),)
    chosen = {"chosen": settings, "trials": tried, "tuned_at": "2026"}
    tuned = TuningRecord(target=Target(TORCH), workload="t128b1", elapsed_s=1, **chosen)
    hostile = rewritten(msgspec.structs.replace(run, tunings=(tuned,)))
    asked_for = upscale.Request(
        source=tmp_path / "a.png", destination=tmp_path / "b.png", threads=1, run=hostile.folder
    )
    with pytest.raises(RecordError, match=r"CACHE_DIR=.* on torch@cpu:fp32, which are none of the settings"):
        upscale._as_measured(asked_for, [].append)


def test_a_memory_budget_without_a_run_is_refused_not_guessed():
    done = CliRunner().invoke(app, ["upscale", "a.png", "b.png", "--memory", "2G"])
    assert isinstance(done.exception, UsageError)
    assert "measured, not guessed" in str(done.exception)


@pytest.mark.parametrize(("text", "expected"), [("2G", 2), ("1.5GB", 1.5), ("800m", 0.8), (" 4 g ", 4)])
def test_amounts_of_memory_are_read(text, expected):
    assert memory_gb(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "2", "much", "2T", "-1G"])
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(UsageError, match="is no amount"):
        memory_gb(text)
