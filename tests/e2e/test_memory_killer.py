"""A real kill for lack of memory: a run inside a control group that the test makes and limits."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.target import REFERENCE

from .test_commands import table
from .test_statuses import write_suite

LIMIT_BYTES = 1_500_000_000  # the reference needs a third

ROOTS = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
"""Where groups of version 1 and 2 lie → the file of their limit."""


SWAP = {"memory.memsw.limit_in_bytes": str(LIMIT_BYTES), "memory.swap.max": "0"}
"""How swap is left out, in version 1 and 2: what swaps is not killed."""


@pytest.fixture
def limited_group():
    """``cgroup.procs`` of a memory group with a limit; gone afterwards."""
    root = next((root for root in ROOTS if (root / "cgroup.procs").exists()), None)
    if root is None:
        pytest.skip("no control groups here")
    group = root / f"esrbench-test-{uuid.uuid4().hex}"
    try:
        group.mkdir()
        (group / ROOTS[root]).write_text(str(LIMIT_BYTES))
        for swap, none in SWAP.items():
            if (group / swap).exists():
                (group / swap).write_text(none)
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no memory group can be made here: {error}")
    yield group / "cgroup.procs"
    group.rmdir()


def test_a_command_that_the_kernel_kills_for_memory_is_oom_and_the_run_goes_on(
    limited_group, zero_checkpoint, tmp_path
):
    suite = write_suite(tmp_path / "limited.toml", zero_checkpoint, [REFERENCE], timeout_s=60)
    suite.write_text(suite.read_text() + table("devour") + table("nearest"))
    code = "import os, sys; open(sys.argv[1], 'w').write('0'); os.execv(sys.argv[2], sys.argv[2:])"
    bench = [sys.executable, "-m", "esrbench", "bench", "--suite", suite, "--out", "results/limited"]
    done = subprocess.run(
        [sys.executable, "-c", code, limited_group, *bench],
        cwd=tmp_path,
        env=os.environ | {"ESRBENCH_CACHE": str(tmp_path / "cache"), "ESRBENCH_LOCK": str(tmp_path / "lock")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    launches = {launch.case.target.runtime: launch for launch in store.read_run(tmp_path / "results/limited").launches}
    killed = launches["devour"]
    assert (killed.status, "the kernel's out-of-memory killer ended the process" in killed.reason) == (Status.OOM, True)
    assert "out of memory at tile 24, batch 1, with" in killed.reason
    assert launches["nearest"].status is Status.OK
