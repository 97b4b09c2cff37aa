"""CPU quotas of control groups, from files laid out as the kernel's."""

import pytest

from esrbench.control_group import CpuGroup
from esrbench.environment import usable_cores


@pytest.fixture
def group(tmp_path):
    """The groups of a process, from the text of /proc/self/cgroup and files by name."""

    def make(text, **files):
        for name, content in {"proc/self/cgroup": text, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{content}\n")
        return CpuGroup(tmp_path / "cgroup", tmp_path / "proc")

    return make


def test_the_smallest_quota_of_the_groups_around_counts_and_every_stop(group):
    found = group(
        "0::/user.slice/run.scope",
        **{
            "cgroup/cpu.stat": "usage_usec 9",
            "cgroup/user.slice/cpu.max": "150000 100000",
            "cgroup/user.slice/cpu.stat": "usage_usec 5\nnr_throttled 2\nthrottled_usec 1500000",
            "cgroup/user.slice/run.scope/cpu.max": "max 100000",
            "cgroup/user.slice/run.scope/cpu.stat": "usage_usec 4\nthrottled_usec 0",
        },
    )
    assert (found.quota_cores(), found.stopped_s()) == (1.5, 1.5)


@pytest.mark.parametrize("mounted", ["cpu", "cpu,cpuacct"])
def test_version_one_is_read_by_either_name_of_its_hierarchy(group, mounted):
    found = group(
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",  # the host's path: not seen here
        **{
            f"cgroup/{mounted}/cpu.cfs_quota_us": "50000",
            f"cgroup/{mounted}/cpu.cfs_period_us": "100000",
            f"cgroup/{mounted}/cpu.stat": "nr_periods 9\nnr_throttled 1\nthrottled_time 250000000",
        },
    )
    assert (found.quota_cores(), found.stopped_s()) == (0.5, 0.25)
    assert usable_cores(found) == 1


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("0::/", {}),
        ("0::/", {"cgroup/cpu.max": "max 100000"}),
        ("4:cpu:/", {"cgroup/cpu/cpu.cfs_quota_us": "-1", "cgroup/cpu/cpu.cfs_period_us": "100000"}),
        ("4:memory:/", {"cgroup/cpu/cpu.cfs_quota_us": "1", "cgroup/cpu/cpu.cfs_period_us": "100000"}),
    ],
)
def test_without_a_quota_nothing_is_cut(group, text, files):
    found = group(text, **files)
    assert (found.quota_cores(), found.stopped_s()) == (None, None)
    assert usable_cores(found) >= 1


def test_a_quota_cuts_the_usable_cores_rounded_up(group, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    found = group("0::/job", **{"cgroup/job/cpu.max": "250000 100000"})
    assert usable_cores(found) == 3
