"""Noise in words, from made-up launches."""

import pytest
from recorded import TORCH, failed, launch, write_run

from esrbench.advice import advice
from esrbench.clocks import REASONS
from esrbench.record import Clocks, GpuClocks, Noise, Status

NCNN = "ncnn@cpu:fp32"


@pytest.fixture
def said(tmp_path):
    def advise(*launches):
        return advice(write_run(tmp_path / "run", launches))

    return advise


def noisy(target=TORCH, round_=0, **noise):
    return launch(target, round_=round_, noise=Noise(**noise))


def test_a_quiet_run_gets_no_advice(said):
    assert said(*(noisy(TORCH, r, other_cores=0.02, steal_cores=0.0, thermal_throttles=0) for r in range(3))) == []


def test_where_nothing_is_known_nothing_is_said(said):
    assert said(launch(TORCH), noisy(TORCH, 1), failed(NCNN, Status.CRASHED)) == []


def test_another_process_is_named_by_its_share_and_the_launches_that_it_disturbed(said):
    launches = [noisy(TORCH, r, other_cores=share) for r, share in enumerate([0.02, 0.45, 0.3])]
    launches += [noisy(NCNN, r, other_cores=share) for r, share in enumerate([0.2, 0.01])]
    (text,) = said(*launches)
    assert text.startswith(
        f"Other processes used up to 45% of a core during 3 of 5 launches ({TORCH} 2×, {NCNN}). Stop what else runs"
    )


def test_a_launch_that_was_disturbed_until_it_failed_counts_too(said):
    failing = launch(TORCH, status=Status.TIMEOUT, reason="no result", noise=Noise(other_cores=0.9))
    (text,) = said(failing, noisy(NCNN, other_cores=0.0))
    assert f"used 90% of a core during 1 of 2 launches ({TORCH})" in text


def test_more_than_a_core_is_counted_in_cores(said):
    (text,) = said(noisy(other_cores=1.52))
    assert "used 1.5 cores during 1 of 1 launch" in text


def test_only_the_most_disturbed_targets_are_named(said):
    (text,) = said(*(noisy(f"fake@cpu{index}:fp32", other_cores=0.5) for index in range(5)))
    assert "fake@cpu2:fp32, 2 others)" in text


def test_steal_heat_and_a_quota_have_words_of_their_own(said):
    texts = said(noisy(steal_cores=0.25, thermal_throttles=3, quota_stopped_s=0.5))
    assert "hypervisor gave others 25% of a core" in texts[0]
    assert texts[1].startswith(f"The CPU quota stopped 1 of 1 launch ({TORCH}), for up to 0.500 s")
    assert "slowed down for heat" in texts[2]


def test_a_short_stop_by_the_quota_does_not_matter(said):
    assert said(noisy(quota_stopped_s=0.01)) == []  # of 3 s


def test_a_gpu_that_was_held_back_is_named_with_the_reasons(said):
    held = Clocks(cpu_mhz=None, gpu=GpuClocks(sm_mhz=1000, max_sm_mhz=1980, temperature_c=88, held_back=("power cap",)))
    (text,) = said(launch("torch@cuda:fp16", clocks=held), launch(TORCH, clocks=Clocks(cpu_mhz=None)))
    assert text == (
        "The GPU held its clock back (power cap) in 1 of 2 launches (torch@cuda:fp16). "
        "Raise its power limit (nvidia-smi -pl), or compare with runs under the same one alone."
    )


@pytest.mark.parametrize("reason", [*REASONS.values(), "a reason of a later driver"])
def test_whatever_held_a_gpu_back_has_a_remedy(said, reason):
    held = Clocks(cpu_mhz=None, gpu=GpuClocks(sm_mhz=1000, max_sm_mhz=1980, temperature_c=88, held_back=(reason,)))
    (text,) = said(launch("torch@cuda:fp16", clocks=held))
    assert text.partition("(torch@cuda:fp16). ")[2]


def test_clocks_that_differ_within_a_target_are_named_with_the_governor(said):
    launches = [
        launch(TORCH, round_=r, clocks=Clocks(cpu_mhz=mhz), noise=Noise(governor="powersave"))
        for r, mhz in enumerate([2000.0, 3000.0])
    ]
    (text,) = said(*launches, launch(NCNN, clocks=Clocks(cpu_mhz=3000.0)))
    assert text == (
        f"The processor's clock was between 2000 and 3000 MHz in launches of {TORCH} under the governor powersave. "
        "Keep it steady with the governor performance (cpupower frequency-set -g performance), or measure more rounds."
    )
