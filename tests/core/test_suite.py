"""What to run, from presets, files and options."""

import sys
from functools import partial

import msgspec
import pytest

from esrbench import process, suite
from esrbench.errors import UnknownNameError, UsageError
from esrbench.suite import Sweep, WorkloadPlan


@pytest.mark.parametrize("name", suite.preset_names())
def test_every_preset_can_be_read(name):
    assert suite.load(name).name == name


def test_the_presets_are_quick_full_and_gpu():
    assert suite.preset_names() == ("full", "gpu", "quick")


def test_an_unknown_suite_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        suite.load("quik")


def test_a_suite_file_is_read(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nmodel = "m.pth"\n[[workloads]]\nimage = "coffee"\ntile = 64\nhalo = 8\n')
    assert suite.load(str(file)).workloads[0].id == "t64b1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not toml", "suite"),
        ('name = "x"\nmodel = "m"\nworkloads = []', "no workload"),
        ('name = "x"\nmodel = "m"\ncolour = 1\n[[workloads]]\nimage = "a"\ntile = 8\nhalo = 1', "colour"),
        ('name = "x"\nmodel = "m"\n[[workloads]]\nimage = "a"\ntile = 8\nhalo = 1\nbatch = 0', "batch = 0"),
        (
            'name = "x"\nmodel = "m"\ntargets = ["torch"]\n[[workloads]]\nimage = "a"\ntile = 8\nhalo = 1',
            "RUNTIME@DEVICE",
        ),
    ],
)
def test_a_file_that_is_no_suite_is_refused_with_the_reason(tmp_path, text, reason):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason):
        suite.load(str(file))


def test_a_missing_suite_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        suite.load(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400), (" 4 m ", 240)])
def test_durations_are_read(text, expected):
    assert suite.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "2 minutes", "1e3", "m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="not a duration"):
        suite.seconds(text)


@pytest.mark.parametrize("budget_s", [-60, 0, 9.9, float("nan")])
def test_a_budget_too_short_to_measure_in_is_refused(budget_s):
    with pytest.raises(UsageError, match=r"budget_s = .* was asked for; it must be between 10 and 1e"):
        suite.override(suite.load("quick"), suite.Overrides(budget_s=budget_s))


def test_every_tile_is_measured_with_every_batch():
    chosen = suite.override(suite.load("quick"), suite.Overrides(tiles=(32, 64), batches=(1, 4), halo=4))
    assert [workload.id for workload in chosen.workloads] == ["t32b1", "t32b4", "t64b1", "t64b4"]
    assert {workload.halo for workload in chosen.workloads} == {4}


def test_a_picture_is_taken_whole():
    chosen = suite.override(suite.load("quick"), suite.Overrides(image="photo.png"))
    assert chosen.workloads[0].image == "photo.png"
    assert chosen.workloads[0].crop is None


def test_the_same_tile_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        suite.override(suite.load("quick"), suite.Overrides(tiles=(64, 64)))


def test_a_sweep_is_every_tile_with_every_batch_small_to_large_on_the_cores_of_the_tiles():
    plans = suite.Sweep(tiles=(128, 64), batches=(4, 1), halo=8).plans()
    assert [plan.id for plan in plans] == ["t64b1", "t64b4", "t128b1", "t128b4"]
    assert [plan.middle for plan in plans] == [48, 48, 112, 112]


def test_a_sweep_leaves_out_what_the_workloads_measure_already():
    quick = msgspec.structs.replace(suite.load("quick"), sweep=suite.Sweep(tiles=(48, 64), batches=(1,)))
    assert [plan.id for plan in quick.plans] == ["t48b1", "t64b1"]


def test_asked_for_a_sweep_nothing_else_is_measured():
    made = suite.override(suite.load("quick"), suite.Overrides(sweep=True, tiles=(64, 128), halo=8))
    assert made.workloads == ()
    assert [plan.id for plan in made.plans] == ["t64b1", "t64b2", "t128b1", "t128b2"]


def test_asked_for_other_tiles_a_suites_own_sweep_is_left_out():
    assert suite.override(suite.load("full"), suite.Overrides(tiles=(64,))).sweep is None
    assert suite.override(suite.load("full"), suite.Overrides(budget_s=60)).sweep is not None


def test_a_sweep_whose_halo_leaves_nothing_is_refused():
    with pytest.raises(UsageError, match="tile 32 and halo 16"):
        suite.Sweep(tiles=(32,), halo=16)


@pytest.mark.parametrize("kind", [Sweep, partial(WorkloadPlan, image="astronaut", tile=48, halo=8)])
def test_a_pass_without_a_batch_is_refused(kind):
    with pytest.raises(UsageError, match="min_batches = 0 was asked for"):
        kind(min_batches=0)


def test_a_sweep_hands_its_batches_on_to_its_workloads():
    assert {plan.min_batches for plan in Sweep(tiles=(64,), batches=(1, 2), min_batches=4).plans()} == {4}


ABSURD = [
    *(
        (name, value)
        for name in ("budget_s", "timeout_s", "measure_s", "tune_s")
        for value in ("inf", "nan", "-1", "3e6")
    ),
    *(("warmup_s", value) for value in ("inf", "nan", "-0.1", "3e6")),
    *(("precision_percent", value) for value in ("inf", "nan", "0", "51")),
    *(("max_rounds", value) for value in ("0", "1000000000")),
    *(("tile", value) for value in ("0", "-8", "1000000000")),
    *(("halo", value) for value in ("-1", "1000000000")),
    *((name, value) for name in ("batch", "min_batches") for value in ("0", "1000000000")),
]


@pytest.mark.parametrize(("field", "value"), ABSURD)
def test_a_value_that_no_run_can_have_is_refused_with_its_field_and_range(tmp_path, field, value):
    own = {"tile": "8", "halo": "1"}
    of_suite = f"{field} = {value}\n" if field not in {*own, "batch", "min_batches"} else ""
    own |= {} if of_suite else {field: value}
    workload = "\n".join(f"{name} = {number}" for name, number in own.items())
    file = tmp_path / "mine.toml"
    file.write_text(f'name = "x"\nmodel = "m"\n{of_suite}[[workloads]]\nimage = "a"\n{workload}\n')
    with pytest.raises(UsageError, match=f"{field} = .* was asked for; it must be between .* and "):
        suite.load(str(file))


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "h"])
def test_a_duration_beyond_all_bounds_is_refused(text):
    with pytest.raises(UsageError, match="budget_s = inf was asked for"):
        suite.override(suite.load("quick"), suite.Overrides(budget_s=suite.seconds(text)))


def test_the_longest_timeout_can_be_waited_for(tmp_path):
    log = tmp_path / "log.txt"
    ended = process.run([sys.executable, "-c", ""], stdin=b"", log=log, threads=1, timeout_s=suite.LONGEST_S)
    assert not ended.timed_out
