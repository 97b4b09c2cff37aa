"""A command gets another picture each call, and is found out where it answers from memory; no process is started."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from staged import ARTIFACT, job_in

from esrbench import command_launch, command_process, images, workload
from esrbench.command import Command
from esrbench.command_target import LocatedCommand
from esrbench.measure import LoopPlan
from esrbench.record import Status
from esrbench.runner import DeviceType
from esrbench.testing import FakeClock

SCALE = 4
CALL_NS, MEMORY_NS = 500_000_000, 30_000_000


class Program:
    """Enlarges by repeating pixels in half a second; where it knows the ``key`` of a picture, it takes what it kept."""

    def __init__(self, clock, key):
        self.clock, self.key = clock, key
        self.pictures, self._kept = [], {}

    def call(self, argv, environment, clock, watch=None):
        source, place = map(Path, argv[1:3])
        pixels = images.read(source).rgb
        self.pictures.append(pixels)
        key = (pixels.shape, self.key(source, pixels))
        took_ns = MEMORY_NS if key in self._kept else CALL_NS
        drawn = self._kept.setdefault(key, pixels.repeat(SCALE, 0).repeat(SCALE, 1))
        images.write(place, images.Picture(rgb=drawn))
        self.clock.advance(took_ns)
        return took_ns


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Launch a program that remembers by a key; returns the program too."""
    command = Command(name="mine", command="mine {input} {output}", border_px=4)
    prepared = workload.prepare(image="astronaut", crop=(80, 200, 24, 40), tile=24, halo=4, batch=1, threads=1, id="w")
    right = np.concatenate([batch.repeat(SCALE, 1).repeat(SCALE, 2) for batch in prepared.batches()])
    np.save(tmp_path / "reference.npy", right)
    (tmp_path / "program").touch()
    located = LocatedCommand(
        command=command, program=str(tmp_path / "program"), device_name="a CPU", device_type=DeviceType.CPU
    )
    job = job_in(
        tmp_path,
        prepared,
        command.target,
        msgspec.structs.replace(ARTIFACT, folder=str(tmp_path)),
        loop=LoopPlan(warmup_s=0, measure_s=2.0),
        command=located,
    )

    def outcome(key, seed=0):
        clock = FakeClock()
        program = Program(clock, key)
        monkeypatch.setattr(command_process, "call", program.call)
        return command_launch.launch(msgspec.structs.replace(job, seed=seed), located, clock), program, prepared.pixels

    return outcome


def test_no_call_before_the_repeat_has_a_picture_that_another_had_and_one_has_the_workloads_own(launched):
    outcome, program, original = launched(lambda *_: object())
    assert (outcome.status, outcome.reason) == (Status.OK, None)
    assert outcome.fidelity.mse == 0
    watched, corner, *timed, repeated = program.pictures
    assert corner.shape == (16, 16, 3)
    assert len({each.tobytes() for each in (watched, *timed)}) == 1 + len(timed) == 5
    assert [np.array_equal(each, original) for each in timed].count(True) == 1
    np.testing.assert_array_equal(repeated, timed[-1])
    (found,) = outcome.samples.repeats
    assert (found.tiles, found.new_ns, found.repeated_ns) == (None, CALL_NS, (CALL_NS,))


def test_the_call_with_the_workloads_own_picture_is_another_one_for_another_seed(launched):
    places = set()
    for seed in range(4):
        _, program, original = launched(lambda *_: object(), seed)
        places.add([np.array_equal(each, original) for each in program.pictures[2:6]].index(True))
    assert len(places) > 1


def test_a_command_that_answers_from_memory_is_wrong_and_gains_nothing(launched):
    outcome, _, _ = launched(lambda _, pixels: pixels.tobytes())
    assert outcome.status is Status.WRONG
    assert outcome.reason == (
        "answers repeated tiles from memory: 30 ms for a picture seen before, 500 ms for new pixels"
    )
    assert set(outcome.samples.image_ns) == {CALL_NS}


@pytest.mark.parametrize("key", [lambda path, _: path, lambda *_: None], ids=["path", "shape"])
def test_a_command_that_takes_a_picture_for_another_is_wrong(launched, key):
    outcome, _, _ = launched(key)
    assert outcome.status is Status.WRONG
    assert outcome.reason.startswith("PSNR to the reference is ")
