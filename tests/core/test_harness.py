"""Rounds, budget and statuses with a scripted launcher: no process is started, no real time passes."""

import random
from contextlib import suppress

import msgspec
import pytest
from recorded import workload
from staged import Stage

from esrbench.case_summary import summarise
from esrbench.errors import OutputError, UnavailableError
from esrbench.harness import HUNG_FACTOR, MIN_HUNG_S
from esrbench.launcher import Interrupted
from esrbench.record import Case, Status
from esrbench.run_cases import noise_floor
from esrbench.store import RunWriter
from esrbench.target import REFERENCE, Target

FAST, SLOW, REFUSED = (Target(f"fake@cpu{index}:fp32") for index in (1, 2, 3))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Make a stage, run it, and hand it back with how it ended."""

    def run(seconds, **settings):
        made = Stage(folder=tmp_path / "run", seconds=seconds, **settings)
        made.end = made.run(monkeypatch)
        return made

    return run


def test_every_case_is_launched_once_then_again_while_the_budget_lasts(stage):
    made = stage({REFERENCE: 5, FAST: 4}, budget_s=60)
    assert [sorted(made.launched(round_)) for round_ in range(5)] == [sorted([REFERENCE, FAST])] * 5
    assert made.end.elapsed_s == 45
    assert made.end.notes == ()


def test_a_case_too_slow_to_repeat_keeps_its_one_launch_and_is_named(stage):
    made = stage({REFERENCE: 5, FAST: 4, SLOW: 40}, budget_s=80)
    assert SLOW in made.launched(0)
    assert all(SLOW not in made.launched(round_) for round_ in range(1, 5))
    assert len([note for note in made.end.notes if SLOW in note and FAST not in note]) == 1


def test_a_disturbed_first_launch_does_not_deny_a_case_its_rounds(stage):
    def seconds(case, round_):
        return 60 if case.target == SLOW and round_ == 0 else 5

    # By its first launch alone, two more would take 120 of the 80 s that are left.
    made = stage(seconds, targets=(REFERENCE, FAST, SLOW), budget_s=150, max_rounds=6)
    assert [SLOW in made.launched(round_) for round_ in range(6)] == [True, False, True, True, True, True]


def test_no_launch_begins_after_the_budget_and_each_case_left_out_says_so(stage):
    made = stage({REFERENCE: 30, FAST: 30, SLOW: 30}, budget_s=50)
    left_out = [record for record in made.recorded.launches if record.status is Status.TIMEOUT]
    assert len(left_out) == 1
    assert "budget of 50 s" in (left_out[0].reason or "")
    assert left_out[0].wall_ns is None


def test_without_its_leader_a_round_launches_nothing_on_a_workload(tmp_path, monkeypatch):
    """After four rounds 8 s are left of which 6 s have passed between launches: too little for the reference."""
    settings = {"seconds": {REFERENCE: 5, FAST: 1}, "budget_s": 32, "between_s": 0.75, "max_rounds": 9}
    made = Stage(folder=tmp_path / "run", **settings)
    end = made.run(monkeypatch)
    assert [len(made.launched(round_)) for round_ in range(6)] == [2, 2, 2, 2, 0, 0]
    assert end.notes[0] == "the budget ended in round 5: 2 launches left out"


def test_a_software_device_that_was_not_launched_is_known_to_be_one(stage):
    made = stage({REFERENCE: 100, SLOW: 5}, late=(SLOW,), budget_s=50, timeout_s=200)
    (left_out,) = [launch for launch in made.recorded.launches if launch.case.target == SLOW]
    assert (left_out.status, left_out.software) == (Status.TIMEOUT, True)


def test_a_launch_in_round_one_may_not_outlast_the_budget(stage):
    made = stage({REFERENCE: 30, FAST: 5}, budget_s=40)
    assert next(limit_s for _, _, limit_s in made.limits_s) == 40
    assert all(limit_s <= 40 for _, _, limit_s in made.limits_s)


def test_a_later_launch_that_hangs_is_ended_long_before_the_suites_timeout(stage):
    made = stage({REFERENCE: 1, FAST: 7}, max_rounds=2, timeout_s=100)
    later = {target: limit_s for target, round_, limit_s in made.limits_s if round_ > 0}
    assert later == {REFERENCE: MIN_HUNG_S, FAST: HUNG_FACTOR * 8}


def test_software_devices_come_last_in_round_one_and_are_not_repeated_where_they_are_not_asked_for(stage):
    made = stage({SLOW: 5, REFERENCE: 5, FAST: 5}, budget_s=100, late=(SLOW,), once=(SLOW,))
    assert made.launched(0)[-1] == SLOW
    assert SLOW not in made.launched(1)
    assert any("as its device is software" in note and SLOW in note for note in made.end.notes)


def test_the_control_is_launched_in_every_round_and_tells_the_noise(stage):
    random_ = random.Random(1)
    made = stage(lambda case, round_: random_.uniform(4.9, 5.1), targets=(REFERENCE, FAST), control=True)
    assert all(made.launched(round_).count(REFERENCE) == 2 for round_ in range(5))
    floor = noise_floor(made.recorded)
    assert floor is not None
    assert floor.rounds == 5
    assert 0.9 < floor.low < floor.value < floor.high < 1.1


def test_a_control_takes_no_time_from_a_case_that_is_there_to_be_measured(stage):
    others = tuple(Target(f"fake@cpu{index}:fp32") for index in range(1, 7))
    made = stage(lambda case, round_: 10.0, targets=(REFERENCE, *others), control=True, budget_s=65)
    late = [launch.case for launch in made.recorded.launches if launch.status is Status.TIMEOUT]
    assert late == [made.cases[-1]]
    assert late[0].control


def test_the_reference_is_drawn_with_its_estimate_and_its_bound_in_sight(stage):
    made = stage(lambda case, round_: 5.0, targets=(REFERENCE, FAST), reference_s={"t48b1": 130.0}, timeout_s=240)
    assert made.watcher.said[0] == f"{REFERENCE} draws the reference, about 2 min 10 s, at most 4 min 0 s"


def test_rounds_end_once_every_interval_is_as_narrow_as_was_asked(stage):
    random_ = random.Random(1)

    def seconds(case, round_):
        return 5 * random_.uniform(0.999, 1.001)

    made = stage(seconds, targets=(REFERENCE, FAST), control=True, precision_percent=1, max_rounds=20)
    assert len(made.launched(5)) == 3
    assert made.launched(6) == []
    assert made.end.notes == ("ended after 6 rounds: every interval was within ± 1 %",)


def test_rounds_go_on_while_one_interval_is_too_wide(stage):
    random_ = random.Random(1)

    def seconds(case, round_):
        return 5 * (1 if case.target == REFERENCE else random_.uniform(0.8, 1.2))

    made = stage(seconds, targets=(REFERENCE, FAST), precision_percent=1, max_rounds=12)
    assert made.launched(11)


def test_what_is_not_known_yet_goes_on_alone_once_the_rest_is(stage):
    """After seven rounds 18 s are left: too little for a whole round, enough for the wide one with its reference."""

    def seconds(case, round_):
        return {REFERENCE: 4, FAST: 4}.get(case.target, 12 if round_ % 2 else 16)

    targets = (REFERENCE, FAST, SLOW)
    made = stage(seconds, targets=targets, precision_percent=1, max_rounds=30, budget_s=174)
    assert set(made.launched(6)) == set(targets)
    assert set(made.launched(7)) == {REFERENCE, SLOW}


def test_what_the_budget_leaves_unknown_is_named_at_the_end(stage):
    random_ = random.Random(1)

    def seconds(case, round_):
        return {REFERENCE: 2, FAST: 1}.get(case.target, 30 * random_.uniform(0.8, 1.2))

    targets = (REFERENCE, FAST, SLOW)
    made = stage(seconds, targets=targets, precision_percent=1, max_rounds=30, budget_s=3 * 33 + 20)
    but = f"but those of {SLOW} t48b1, for which the budget is too small"
    assert made.end.notes[-1] == f"ended after 6 rounds: every interval was within ± 1 % {but}"


def test_refused_cases_are_recorded_first_and_never_launched(stage):
    made = stage({REFERENCE: 5}, refused=(REFUSED,))
    first = made.recorded.launches[0]
    assert (first.case.target, first.status) == (REFUSED, Status.UNAVAILABLE)
    assert REFUSED not in [target for target, _, _ in made.limits_s]


@pytest.mark.parametrize("status", [Status.CRASHED, Status.WRONG])
def test_a_case_that_has_no_speed_is_not_repeated(stage, status):
    made = stage({REFERENCE: 5, FAST: 5, SLOW: 5}, status={FAST: status})
    assert FAST not in made.launched(1)
    assert SLOW in made.launched(1)


def test_sequences_are_gapless(stage):
    made = stage({REFERENCE: 5, FAST: 5}, refused=(REFUSED,))
    launches = made.recorded.launches
    assert [record.sequence for record in launches] == list(range(len(launches)))


def test_what_is_left_is_told_before_each_launch(stage):
    made = stage({REFERENCE: 5, FAST: 5}, max_rounds=3)
    assert made.watcher.left[-4:] == [(4, 20.0), (3, 15.0), (2, 10.0), (1, 5.0)]


def test_without_a_reference_nothing_is_measured(tmp_path, monkeypatch):
    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 5}, reference=Status.CRASHED)
    with pytest.raises(UnavailableError, match="could not draw the reference"):
        made.run(monkeypatch)
    assert made.recorded.launches == ()


def noisy(case, round_):
    """The same seconds for the same launch, whenever it is made."""
    speed = {REFERENCE: 5.0, FAST: 3.0, SLOW: 9.0}[case.target]
    return speed * random.Random(f"{case}{round_}").uniform(0.9, 1.1)


def interrupted_at(stopped):
    def before_launch(sequence):
        if sequence == stopped:
            raise KeyboardInterrupt

    return before_launch


@pytest.mark.parametrize("stopped", [*range(12), 14, 17])
def test_a_run_stopped_anywhere_goes_on_to_the_verdicts_of_one_that_was_not(tmp_path, monkeypatch, stopped):
    settings = {"seconds": noisy, "targets": (REFERENCE, FAST, SLOW), "refused": (REFUSED,), "budget_s": 95}
    whole = Stage(folder=tmp_path / "whole", control=True, **settings)
    end = whole.run(monkeypatch)
    cut = Stage(folder=tmp_path / "cut", control=True, before_launch=interrupted_at(stopped), **settings)
    if stopped < len(whole.recorded.launches) and stopped > 0:
        with pytest.raises(KeyboardInterrupt):
            cut.run(monkeypatch)
        (said,) = cut.recorded.interruptions
        assert said.interrupted
        assert cut.recorded.end is None
        assert len(cut.recorded.launches) == stopped
    cut.before_launch = interrupted_at(None)
    assert cut.run(monkeypatch).elapsed_s == pytest.approx(end.elapsed_s)
    plain = [(launch.case, launch.round, launch.sequence, launch.wall_ns) for launch in whole.recorded.launches]
    assert [(launch.case, launch.round, launch.sequence, launch.wall_ns) for launch in cut.recorded.launches] == plain
    assert summarise(cut.recorded) == summarise(whole.recorded)
    assert noise_floor(cut.recorded) == noise_floor(whole.recorded)


@pytest.mark.parametrize("stop", range(4, 17))
def test_a_run_that_goes_on_adds_nothing_to_rounds_that_had_ended(tmp_path, monkeypatch, stop):
    """What passes between launches is in none of their times: a run that goes on has forgotten it."""
    settings = {"seconds": {REFERENCE: 5, FAST: 5, SLOW: 20}, "budget_s": 160, "between_s": 1, "max_rounds": 9}
    cut = Stage(folder=tmp_path / "cut", before_launch=interrupted_at(stop), **settings)
    with suppress(KeyboardInterrupt):
        cut.run(monkeypatch)
    ended = max(launch.round for launch in cut.recorded.launches)
    before = [cut.launched(round_) for round_ in range(ended)]
    cut.before_launch = interrupted_at(None)
    if cut.recorded.end is None:
        cut.run(monkeypatch)
    assert [cut.launched(round_) for round_ in range(ended)] == before


def test_a_launch_that_was_measured_when_the_run_was_stopped_is_kept(tmp_path, monkeypatch):
    def stop_the_third(record):
        if record.sequence == 2:
            raise Interrupted(record)

    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 5, FAST: 4}, max_rounds=3, after_launch=stop_the_third)
    with pytest.raises(KeyboardInterrupt):
        made.run(monkeypatch)
    assert [launch.sequence for launch in made.recorded.launches] == [0, 1, 2]
    assert made.recorded.interruptions[0].interrupted
    made.after_launch = lambda record: None
    made.run(monkeypatch)
    assert [launch.sequence for launch in made.recorded.launches] == list(range(6))


def test_a_disk_too_full_for_a_picture_keeps_the_launch(tmp_path, monkeypatch):
    def refuse(record):
        raise OutputError(f"{record.sequence:04d}.png cannot be written: No space left on device")

    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 5, FAST: 4}, max_rounds=3, before_picture=refuse)
    with pytest.raises(OutputError, match="No space left"):
        made.run(monkeypatch)
    assert [launch.sequence for launch in made.recorded.launches] == [0]


def test_a_run_that_pauses_after_each_round_is_the_run_that_does_not(tmp_path, monkeypatch):
    settings = {"seconds": noisy, "targets": (REFERENCE, FAST, SLOW), "refused": (REFUSED,), "budget_s": 95}
    whole = Stage(folder=tmp_path / "whole", control=True, **settings)
    end = whole.run(monkeypatch)
    paused = Stage(folder=tmp_path / "paused", control=True, **settings)
    for round_ in range(2):
        assert paused.run(monkeypatch, rounds=1) is None
        assert paused.recorded.end is None
        assert max(launch.round for launch in paused.recorded.launches) == round_
    assert paused.run(monkeypatch, rounds=10).elapsed_s == pytest.approx(end.elapsed_s)
    assert summarise(paused.recorded) == summarise(whole.recorded)


def test_a_pause_at_the_last_round_is_the_end(tmp_path, monkeypatch):
    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 1.0, FAST: 1.0}, max_rounds=2)
    assert made.run(monkeypatch, rounds=2) == made.recorded.end


def test_a_disk_that_fills_up_stops_the_run_and_room_lets_it_go_on(tmp_path, monkeypatch):
    class Full(RunWriter):
        def launch(self, record):
            if record.sequence == 4:
                raise OutputError("0004.json cannot be written: No space left on device")
            super().launch(record)

    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 5, FAST: 4}, max_rounds=3)
    Full.create(made.folder, made._record())
    with pytest.raises(OutputError, match="No space left"):
        made.run(monkeypatch, writer=Full(made.folder))
    assert len(made.recorded.launches) == 4
    made.run(monkeypatch)
    assert len(made.recorded.launches) == 6
    assert made.recorded.end is not None


def sized(*sizes, sweep=False):
    made = (workload(f"t{tile}b{batch}", tile=tile, batch=batch) for tile, batch in sizes)
    return tuple(msgspec.structs.replace(each, sweep=sweep) for each in made)


def of(target, size):
    return Case(target=target, workload=size)


def test_round_one_goes_from_small_tiles_to_large_ones(stage):
    made = stage({REFERENCE: 1, FAST: 1}, workloads=sized((256, 1), (64, 4), (64, 1)), max_rounds=1)
    sizes = [launch.case.workload for launch in made.recorded.launches]
    assert sizes == ["t64b1"] * 2 + ["t64b4"] * 2 + ["t256b1"] * 2


def test_what_ran_out_of_memory_is_not_launched_with_more_pixels_and_is_oom_there_too(stage):
    sizes = sized((64, 1), (64, 4), (128, 1), (128, 4))
    made = stage({REFERENCE: 1, FAST: 1}, workloads=sizes, status={of(FAST, "t128b1"): Status.OOM}, max_rounds=2)
    last = next(launch for launch in made.recorded.launches if launch.case == of(FAST, "t128b4"))
    assert (last.status, last.wall_ns) == (Status.OOM, None)
    assert last.reason == "not launched: it ran out of memory at tile 128, batch 1"
    rows = {(row.target, row.workload): row for row in summarise(made.recorded)}
    assert rows[FAST, "t128b4"].throughput_mpix_s is None
    assert rows[FAST, "t64b4"].throughput_mpix_s is not None
    assert rows[REFERENCE, "t128b4"].throughput_mpix_s is not None


def test_a_run_stopped_after_memory_ran_out_goes_on_without_launching_more_pixels(tmp_path, monkeypatch):
    settings = {"workloads": sized((64, 1), (128, 1), (256, 1)), "status": {of(FAST, "t64b1"): Status.OOM}}
    cut = Stage(folder=tmp_path / "cut", seconds={REFERENCE: 1, FAST: 1}, before_launch=interrupted_at(2), **settings)
    with pytest.raises(KeyboardInterrupt):
        cut.run(monkeypatch)
    cut.before_launch = interrupted_at(None)
    cut.run(monkeypatch)
    assert [case for case, *_ in cut.limits_s].count(FAST) == 1


def test_a_sweep_beside_workloads_comes_after_them_and_is_launched_once(stage):
    sizes = (*sized((256, 1)), *sized((64, 1), sweep=True))
    made = stage({REFERENCE: 1, FAST: 1}, workloads=sizes, swept_once=True, max_rounds=3)
    launched = [(launch.round, launch.case.workload) for launch in made.recorded.launches]
    assert launched[:4] == [(0, "t256b1"), (0, "t256b1"), (0, "t64b1"), (0, "t64b1")]
    assert {size for round_, size in launched if round_ > 0} == {"t256b1"}
    assert made.end.notes == ()


def test_a_tile_too_large_for_the_reference_takes_no_other_tile_with_it(stage):
    sizes = sized((64, 1), (256, 1))
    made = stage({REFERENCE: 1, FAST: 1}, workloads=sizes, without_reference=frozenset({"t256b1"}), max_rounds=1)
    statuses = {launch.case: launch.status for launch in made.recorded.launches}
    assert statuses[of(FAST, "t64b1")] is Status.OK
    assert statuses[of(FAST, "t256b1")] is Status.UNAVAILABLE


def test_a_clock_that_is_set_back_changes_no_order_and_no_duration(tmp_path, monkeypatch):
    from esrbench import harness

    hours = iter(range(23, 0, -1))
    monkeypatch.setattr(harness, "now", lambda: f"2026-01-01T{next(hours):02d}:00:00+00:00")
    made = Stage(folder=tmp_path / "run", seconds={REFERENCE: 5, FAST: 4}, max_rounds=3)
    end = made.run(monkeypatch)
    launches = made.recorded.launches
    assert [launch.started_at for launch in launches] == sorted((each.started_at for each in launches), reverse=True)
    assert [launch.sequence for launch in launches] == list(range(6))
    assert end.elapsed_s == 27
    assert all(row.rounds == 3 for row in summarise(made.recorded))
