"""Which settings a target is measured with: short launches, a margin, a limit, and what is kept for later."""

import msgspec
import pytest
from recorded import environment, launch, samples
from staged import ARTIFACT, Clock, Stage, Watcher

from esrbench.choices import question, recall
from esrbench.job import Outcome
from esrbench.launcher import Trial
from esrbench.process import Ended
from esrbench.record import Case, Status
from esrbench.settings import DEFAULT, Settings
from esrbench.store import RunWriter, read_tunings
from esrbench.target import REFERENCE, Target
from esrbench.tuning import TIME_ENDED, Tuner

FAKE = Target("fake@cpu:fp32")
ONE, TWO = Settings(values={"streams": "1"}), Settings(values={"streams": "2"})
CANDIDATES = (DEFAULT, ONE, TWO)
WALL_S = 10.0


class Tries:
    """A launcher whose trials end as scripted: seconds a pass, one after the other, or a status."""

    def __init__(self, script, clock):
        self.script = {settings.text: list(ends) for settings, ends in script.items()}
        self.clock = clock
        self.tried, self.limits_s, self.chosen = [], [], {}

    def trial(self, case, settings, name, loop, timeout_s):
        self.tried.append(settings)
        self.limits_s.append(timeout_s)
        self.clock.now_s += min(WALL_S, timeout_s)
        ends = self.script[settings.text]
        end = ends.pop(0) if len(ends) > 1 else ends[0]
        outcome = (
            Outcome(status=end, reason=f"scripted to be {end}")
            if isinstance(end, Status)
            else Outcome(status=Status.OK, samples=samples(end))
        )
        return Trial(outcome=outcome, ended=Ended(exit_code=0, timed_out=False, wall_ns=0))

    def choose(self, target, workload, settings):
        self.chosen[target, workload] = settings


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ESRBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def tuned(tmp_path):
    """Tune a run of its own; what the launcher was asked, and what is on disk."""

    def tune(script, *, name="run", tune=True, tune_s=1000.0, begun=False, versions=None):
        stage = Stage(tmp_path / name, {REFERENCE: 1, FAKE: 1}, control=True)
        suite = msgspec.structs.replace(stage.plan.suite, tune=tune, tune_s=tune_s)
        case = Case(target=FAKE, workload="t48b1")
        machine = environment()
        plan = msgspec.structs.replace(
            stage.plan,
            suite=suite,
            candidates={FAKE: CANDIDATES},
            machine=msgspec.structs.replace(machine, versions=versions or machine.versions),
            inputs=msgspec.structs.replace(stage.plan.inputs, artifacts={case: ARTIFACT}),
        )
        writer = RunWriter(stage.folder) if stage.folder.exists() else RunWriter.create(stage.folder, stage._record())
        clock = Clock()
        launcher = Tries(script, clock)
        spent_s = Tuner(plan, writer, launcher, Watcher(), clock).tune([launch(FAKE)] if begun else [])
        return launcher, read_tunings(stage.folder), spent_s

    return tune


FASTER = {DEFAULT: [1.0], ONE: [0.9], TWO: [0.8]}


def test_the_fastest_is_confirmed_by_pairs_with_the_default_and_kept(tuned):
    launcher, (record,), spent_s = tuned(FASTER)
    assert launcher.tried == [DEFAULT, ONE, TWO, *[DEFAULT, TWO] * 3]
    assert record.chosen == TWO
    assert record.speedup == pytest.approx(1.25)
    assert [len(trial.image_s) for trial in record.trials] == [4, 1, 4]
    assert launcher.chosen == {(FAKE, "t48b1"): TWO}
    assert spent_s == record.elapsed_s == 9 * WALL_S


def test_a_default_that_only_ran_out_of_time_gives_way_to_nobody(tuned):
    _, (record,), _ = tuned({DEFAULT: [1.0, Status.TIMEOUT], ONE: [0.95], TWO: [1.1]}, tune_s=100)
    assert record.chosen == DEFAULT


def test_nothing_is_kept_where_no_candidate_drew_the_picture(tuned):
    nothing = {DEFAULT: [Status.OOM], ONE: [Status.OOM], TWO: [Status.OOM]}
    tuned(nothing)
    launcher, _, _ = tuned(nothing, name="later")
    assert len(launcher.tried) == 3


def test_a_gain_that_is_not_worth_it_leaves_the_default(tuned):
    launcher, (record,), _ = tuned({DEFAULT: [1.0], ONE: [0.98], TWO: [1.1]})
    assert record.chosen == DEFAULT
    assert record.speedup is None
    assert len(launcher.tried) == 3


def test_one_lucky_launch_is_not_enough(tuned):
    launcher, (record,), _ = tuned({DEFAULT: [1.0], ONE: [0.7, 1.01], TWO: [1.0]})
    assert record.chosen == DEFAULT
    assert launcher.tried == [DEFAULT, ONE, TWO, DEFAULT, ONE]


def test_the_launch_by_which_a_rival_was_picked_proves_nothing(tuned):
    _, (record,), _ = tuned({DEFAULT: [1.0], ONE: [0.1, 0.99], TWO: [1.0]})
    assert record.chosen == DEFAULT


def test_a_gain_that_drowns_in_noise_leaves_the_default_after_five_pairs(tuned):
    launcher, (record,), _ = tuned({DEFAULT: [1.0], ONE: [0.8, 0.7, 1.1, 0.8, 1.05, 0.9], TWO: [1.0]})
    assert record.chosen == DEFAULT
    assert len(launcher.tried) == 3 + 2 * 5


def test_a_gain_that_shows_through_noise_is_taken_when_it_is_certain(tuned):
    _, (record,), _ = tuned({DEFAULT: [1.0], ONE: [0.8, 0.8, 0.9, 0.85, 0.82, 0.83], TWO: [1.0]})
    assert record.chosen == ONE
    assert record.speedup == pytest.approx(1 / 0.85)  # the middle one of three pairs


@pytest.mark.parametrize("status", [Status.WRONG, Status.OOM, Status.ERROR, Status.CRASHED, Status.FELL_BACK])
def test_a_candidate_that_does_not_draw_the_picture_is_out_with_its_reason(tuned, status):
    _, (record,), _ = tuned({DEFAULT: [1.0], ONE: [status], TWO: [0.8]})
    assert record.chosen == TWO
    assert record.trials[1].status is status
    assert record.trials[1].reason == f"scripted to be {status}"
    assert record.trials[1].image_s == ()


def test_a_winner_that_fails_when_it_is_confirmed_is_out(tuned):
    _, (record,), _ = tuned({DEFAULT: [1.0], ONE: [1.0], TWO: [0.5, Status.WRONG]})
    assert record.chosen == DEFAULT
    assert record.trials[2].status is Status.WRONG


def test_where_the_default_fails_the_fastest_that_draws_the_picture_is_taken(tuned):
    _, (record,), _ = tuned({DEFAULT: [Status.ERROR], ONE: [0.9], TWO: [1.0]})
    assert record.chosen == ONE
    assert record.speedup is None


def test_tuning_ends_with_its_own_time_and_says_what_it_left_out(tuned, cache):
    launcher, (record,), spent_s = tuned(FASTER, tune_s=1.5 * WALL_S)
    assert launcher.tried == [DEFAULT, ONE]
    assert launcher.limits_s == [1.5 * WALL_S, 0.5 * WALL_S]
    assert record.chosen == DEFAULT
    assert record.trials[2].status is None
    assert record.trials[2].reason == TIME_ENDED
    assert spent_s == 1.5 * WALL_S
    assert not list(cache.rglob("*.json"))  # what was never tried must not be held against it for ever


def test_a_later_run_takes_what_is_known_and_tries_nothing(tuned):
    tuned(FASTER)
    launcher, (record,), spent_s = tuned(FASTER, name="later", tune=None)
    assert launcher.tried == []
    assert launcher.chosen == {(FAKE, "t48b1"): TWO}
    assert record.known
    assert spent_s == 0


def test_another_version_of_a_library_makes_the_question_a_new_one(tuned):
    tuned(FASTER)
    launcher, records, _ = tuned(FASTER, name="later", tune=None, versions={"fake": "2"})
    assert launcher.tried == []
    assert records == ()
    assert launcher.chosen == {}


def test_no_tune_measures_the_defaults_whatever_is_known(tuned):
    tuned(FASTER)
    launcher, records, _ = tuned(FASTER, name="later", tune=False)
    assert (launcher.tried, launcher.chosen, records) == ([], {}, ())


def test_a_resumed_run_goes_on_with_what_it_chose(tuned, cache):
    _, before, spent_s = tuned(FASTER)
    for file in cache.rglob("*.json"):
        file.unlink()
    launcher, after, again_s = tuned(FASTER, begun=True)
    assert launcher.tried == []
    assert launcher.chosen == {(FAKE, "t48b1"): TWO}
    assert after == before
    assert again_s == spent_s


def test_a_run_that_has_begun_without_a_choice_does_not_make_one(tuned):
    launcher, records, _ = tuned(FASTER, begun=True)
    assert (launcher.tried, records) == ([], ())


def test_a_damaged_note_in_the_cache_is_asked_again(tuned, cache):
    tuned(FASTER)
    (note,) = (cache / "settings").glob("*.json")
    note.write_text("{")
    launcher, _, _ = tuned(FASTER, name="later")
    assert len(launcher.tried) == 9


def test_the_tile_shape_and_the_threads_are_part_of_the_question():
    from recorded import workload

    def asked(**changes):
        changed = msgspec.structs.replace(workload(), **changes)
        return question(FAKE, CANDIDATES, ARTIFACT.artifact, changed, environment(), environment={}).key

    assert len({asked(), asked(tile_px=64), asked(threads=7), asked(tiles=9, batch=3)}) == 4
    assert asked(tiles=1, batch=4, copies=4) != asked(tiles=1, batch=1)
    assert asked() == asked(image="another")
    assert recall(question(FAKE, CANDIDATES, ARTIFACT.artifact, workload(), environment(), environment={})) is None


def test_the_harness_tunes_before_the_budget_begins(tmp_path, monkeypatch):
    """Tuning takes longer than the whole budget, and no launch is missing."""
    stage = Stage(
        tmp_path / "run",
        {REFERENCE: 10, FAKE: 10},
        budget_s=20,
        max_rounds=1,
        candidates={FAKE: {DEFAULT: 1.0, ONE: 0.9, TWO: 0.8}},
    )
    end = stage.run(monkeypatch)
    assert set(stage.launched(0)) == {REFERENCE, FAKE}
    assert end.elapsed_s == 20
    assert "finding settings took 90 s, apart from the budget" in end.notes
    assert stage.recorded.tunings[0].chosen == TWO
    assert stage.chosen == {(FAKE, "t48b1"): TWO}


def test_the_suites_for_long_runs_tune_and_the_quick_one_takes_what_is_known():
    from esrbench import suite

    assert {name: suite.load(name).tune for name in ("quick", "full", "gpu")} == {
        "quick": None,
        "full": True,
        "gpu": None,
    }
    assert suite.override(suite.load("full"), suite.Overrides(tune=False)).tune is False
