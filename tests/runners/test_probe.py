import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from esrbench import probe
from esrbench.errors import UnknownNameError
from esrbench.runner import DeviceType
from esrbench.target import Target
from esrbench.testing import (
    FAKE_ENTRY_POINTS,
    SCRIPTS_VARIABLE,
    FakeScript,
    Fault,
    Moment,
    encode_scripts,
    write_distribution,
)

FAKE = Target("fake@cpu:fp32")
GPU = Target("fake@gpu:fp16")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where this process and its children find plug-ins."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_distribution(tmp_path, "esrbench-fakes", FAKE_ENTRY_POINTS)
    return tmp_path


def script(monkeypatch: pytest.MonkeyPatch, *scripts: FakeScript) -> None:
    monkeypatch.setenv(SCRIPTS_VARIABLE, encode_scripts(scripts))


def test_a_runtime_is_asked_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = FakeScript(target=FAKE, fault=Fault.UNAVAILABLE)
    script(monkeypatch, FakeScript(target=GPU, device_name="Fake 9000", device_type=DeviceType.GPU), gone)
    usable, refused = probe.availabilities(["fake"])
    assert (usable.target, usable.usable, usable.device_name) == (GPU, True, "Fake 9000")
    assert (refused.target, refused.usable, refused.reason) == (FAKE, False, "scripted to be unavailable")
    assert refused.remedy


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.CRASH, "its process ended with signal 9 before it said what it can run"),
        (Fault.RAISE, "RuntimeError: scripted to raise"),
        (Fault.HANG, "it did not say within 2 s what it can run"),
    ],
)
def test_a_runtime_that_fails_when_asked_is_reported_and_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, reason: str
) -> None:
    script(monkeypatch, FakeScript(target=FAKE, fault=fault, moment=Moment.PROBE))
    probed = probe.ask(["fake"], timeout_s=2)
    assert probed.targets == ()
    (broken,) = probed.broken
    assert broken.name == "fake"
    assert reason in broken.reason
    assert not probed.of(FAKE).usable
    assert probed.of(FAKE).reason == broken.reason


def test_the_others_answer_when_one_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, FakeScript(target=FAKE, fault=Fault.CRASH, moment=Moment.PROBE))
    probed = probe.ask(["fake", "openvino"])
    assert [runtime.name for runtime in probed.broken] == ["fake"]
    assert {entry.target.runtime for entry in probed.targets} == {"openvino"}


def test_what_a_runtime_prints_disturbs_nobody(site: Path) -> None:
    module = "from esrbench.testing import FakeRunner\nclass Loud(FakeRunner):\n    name = 'loud'\n"
    module += '    def targets(self):\n        print(\'{"not": "the answer"}\', flush=True)\n        return []\n'
    (site / "loud_runner.py").write_text(module)
    write_distribution(site, "loud", {"esrbench.runners": {"loud": "loud_runner:Loud"}})
    assert probe.ask(["loud"]) == probe.Probed(targets=(), broken=())


def test_a_runtime_may_not_answer_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, FakeScript(target=Target("torch@cpu:fp32")))
    (broken,) = probe.ask(["fake"]).broken
    assert broken.reason == "it answered for a target that is not its own: torch@cpu:fp32"


def test_a_target_that_its_runtime_does_not_have_is_unknown() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fake@cpu:fp32'"):
        probe.ask(["fake"]).of(Target("fake@cpu:fp16"))


HANGING = """
import os, pathlib, signal
from esrbench.testing import FakeRunner
class Hanging(FakeRunner):
    name = 'hanging'
    def targets(self):
        path = pathlib.Path(__file__).with_name('pid')
        path.with_suffix('.part').write_text(str(os.getpid()))
        path.with_suffix('.part').rename(path)
        while True:
            signal.pause()
"""

ASKER = """
import signal
from esrbench import probe
from esrbench.cli.ending import end_on_signals
signal.signal(signal.SIGINT, signal.default_int_handler)
end_on_signals()
probe.ask(['hanging'])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are ended by a Linux facility")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_runtime_that_hangs_when_asked_ends_with_the_process_that_asked(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    places = tmp_path_factory.mktemp("places")
    monkeypatch.setenv("TMPDIR", str(places))
    (site / "hanging_runner.py").write_text(HANGING)
    write_distribution(site, "hanging", {"esrbench.runners": {"hanging": "hanging_runner:Hanging"}})
    asker = subprocess.Popen([sys.executable, "-c", ASKER], stderr=subprocess.DEVNULL)
    try:
        until((site / "pid").exists)
        asker.send_signal(sent)
        asker.wait(20)
    finally:
        asker.kill()
        asker.wait()
    until(partial(has_ended, int((site / "pid").read_text())))
    assert sent is signal.SIGKILL or not list(places.iterdir())


def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        os.sched_yield()


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
