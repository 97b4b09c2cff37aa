"""One launch seen from outside: a job to a fresh process, its outcome or its death to a record."""

import shutil
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from esrbench import noise
from esrbench.artifact import LocatedArtifact
from esrbench.codec import decode, encode
from esrbench.command_target import LocatedCommand
from esrbench.errors import ArtifactError, OutputError, RecordError
from esrbench.exhaustion import KILLED, MemoryWatch, last_lines
from esrbench.held_artifacts import HeldArtifacts
from esrbench.job import CANNOT_WRITE, Job, Outcome, measured_file
from esrbench.measure import LoopPlan
from esrbench.process import Ended, run, signal_name
from esrbench.record import Case, LaunchRecord, ReferenceCheck, Status, Workload
from esrbench.settings import DEFAULT, Settings
from esrbench.store import RunWriter, picture_name, write_once
from esrbench.target import REFERENCE, Target

ONE_PASS = LoopPlan(warmup_s=0.0, measure_s=0.0, repeats=False)


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's launches work on."""

    workloads: Mapping[str, Workload]  # by id
    pictures: Mapping[str, Path]  # workload id -> PNG of its pixels
    artifacts: Mapping[Case, LocatedArtifact]
    reference: LocatedArtifact
    commands: Mapping[Target, LocatedCommand] = {}
    software: frozenset[Target] = frozenset()  # whose device is the CPU by another name
    environment: Mapping[str, str] = {}  # variables that were asked for; the reference is drawn without them
    seed: int = 0  # of the suite


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A launch that tries settings."""

    outcome: Outcome
    ended: Ended


class Interrupted(KeyboardInterrupt):
    """The user stopped the run while a launch that was already measured met its new shape, or ended."""

    def __init__(self, record: LaunchRecord) -> None:
        super().__init__()
        self.record = record


class Launcher:
    """Starts the processes of one run; ``scratch`` is a folder that goes away with it."""

    def __init__(self, inputs: Inputs, writer: RunWriter, scratch: Path) -> None:
        self._inputs = inputs
        self._writer = writer
        self._scratch = scratch
        self._answer = scratch / "outcome.json"
        self._held = HeldArtifacts(scratch / "artifacts", [*inputs.artifacts.values(), inputs.reference])
        self._gauges = noise.Gauges()
        self._settings: dict[tuple[Target, str], Settings] = {}
        self._references: dict[Workload, str] = {}  # what they are drawn of -> the workload that they were drawn for
        self._reference_check: ReferenceCheck | None = None

    def choose(self, target: Target, workload: str, settings: Settings) -> None:
        """Launch the target on this workload with these settings from now on, the control too."""
        self._settings[target, workload] = settings

    def draw_reference(self, workload: str, timeout_s: float) -> Outcome:
        """Draw what every picture of this workload is compared with: tile by tile, as that needs the least memory.

        Workloads that differ in their batch alone have the same one; it is drawn once.

        Raises:
            OutputError: a file cannot be written.
        """
        case = Case(target=REFERENCE, workload=workload)
        picture, log = self._reference_picture(workload), self._writer.logs / f"reference.{workload}.txt"
        once = msgspec.structs.replace(self._inputs.workloads[workload], id="", batch=1, copies=1)
        if once in self._references:
            drawn = self._references[once]
            _name_again(self._reference(drawn), self._reference(workload))
            _name_again(self._reference_picture(drawn), picture)
            return Outcome(status=Status.OK)
        try:
            reference = self._held.checked(self._inputs.reference)
        except ArtifactError as error:
            return Outcome(status=Status.ERROR, reason=str(error))
        job = self._job(case, reference, picture, ONE_PASS, makes_reference=True)
        single = msgspec.structs.replace(job.workload, batch=1, copies=1)
        job = msgspec.structs.replace(job, workload=single, checks_reference=not self._references)
        outcome = self._run(job, log, timeout_s)[0]
        self._reference_check = outcome.reference_check or self._reference_check
        if outcome.status is Status.OK:
            self._references[once] = workload
        return outcome

    def _seed(self, launch: object, started_at: str) -> int:
        """Make another seed for each launch, in every run.

        Else a cache on disk could know the tiles.
        """
        return int.from_bytes(sha256(f"{self._inputs.seed} {launch} {started_at}".encode()).digest()[:4])

    def _reference(self, workload: str) -> Path:
        return self._scratch / f"reference.{workload}.npy"

    def _reference_picture(self, workload: str) -> Path:
        return self._writer.pictures / f"reference.{workload}.png"

    def launch(self, case: Case, *, sequence: int, round_: int, loop: LoopPlan, timeout_s: float) -> LaunchRecord:
        """Measure a case once in a fresh process.

        Its picture waits in the temporary folder for :meth:`keep_picture`.

        Raises:
            ArtifactError: its files are no longer what was exported; nothing was launched.
            OutputError: a file cannot be written.
            Interrupted: the user stopped it after the measurement.
            KeyboardInterrupt: the user stopped it before.
        """
        artifact = self._inputs.artifacts.get(case)  # None: a command with a model of its own
        held = self._held.checked(artifact) if artifact else self._inputs.reference
        started_at = now()
        job = self._job(case, held, self._drawn(sequence), loop, seed=self._seed(sequence, started_at))
        before = self._gauges.read()
        outcome, ended, stopped = self._attempt(job, self._writer.logs / f"{sequence:04d}.txt", timeout_s)
        after = self._gauges.read()
        record = LaunchRecord(
            case=case,
            sequence=sequence,
            round=round_,
            status=outcome.status,
            reason=outcome.reason,
            remedy=outcome.remedy,
            started_at=started_at,
            wall_ns=ended.wall_ns,
            exit_code=ended.exit_code,
            samples=outcome.samples,
            memory=outcome.memory,
            placement=outcome.placement,
            fidelity=outcome.fidelity,
            artifact=artifact.artifact if artifact else None,
            noise=noise.between(before, after),
            clocks=outcome.clocks,
            energy=outcome.energy,
            threads_at_work=outcome.threads_at_work,
            reference_check=self._reference_check,
            room=outcome.room,
            software=job.software,
        )
        if stopped:
            raise Interrupted(record) from stopped
        return record

    def _attempt(self, job: Job, log: Path, timeout_s: float) -> tuple[Outcome, Ended, KeyboardInterrupt | None]:
        """Run a job; return also a Ctrl-C after its measurement."""
        try:
            return *self._run(job, log, timeout_s), None
        except KeyboardInterrupt as error:
            return *self._measured_before(error, job), error

    def keep_picture(self, record: LaunchRecord) -> None:
        """Move a launch's picture into the run, where its case has none yet."""
        drawn, kept = self._drawn(record.sequence), self._writer.pictures / picture_name(record.case)
        if drawn.is_file() and not kept.exists():
            write_once(kept, drawn.read_bytes())
        drawn.unlink(missing_ok=True)

    def _drawn(self, sequence: int) -> Path:
        return self._scratch / f"{sequence:04d}.png"

    def _measured_before(self, stopped: KeyboardInterrupt, job: Job) -> tuple[Outcome, Ended]:
        """What a launch had measured when it was stopped; raises ``stopped`` where that is nothing."""
        wall_ns = time.perf_counter_ns() - job.spawned_ns
        for file in (self._answer, measured_file(self._answer)):
            outcome = _read(file)
            if isinstance(outcome, Outcome) and outcome.samples is not None:
                ended = Ended(exit_code=KILLED[0], timed_out=False, wall_ns=wall_ns)
                return outcome.with_late_failure("interrupted"), ended
        raise stopped

    def trial(self, case: Case, settings: Settings, name: str, loop: LoopPlan, timeout_s: float) -> Trial:
        """Launch a case once with ``settings``, as any launch: its picture is compared; its log is named ``name``."""
        picture = self._scratch / "trial.png"
        picture.unlink(missing_ok=True)
        try:
            held = self._held.checked(self._inputs.artifacts[case])
        except ArtifactError as error:
            return Trial(
                outcome=Outcome(status=Status.ERROR, reason=str(error)),
                ended=Ended(exit_code=0, timed_out=False, wall_ns=0),
            )
        job = self._job(case, held, picture, loop, settings=settings, seed=self._seed(name, now()))
        outcome, ended = self._run(job, self._writer.logs / f"{name}.txt", timeout_s)
        return Trial(outcome=outcome, ended=ended)

    def _job(
        self,
        case: Case,
        artifact: LocatedArtifact,
        picture: Path,
        loop: LoopPlan,
        *,
        makes_reference: bool = False,
        settings: Settings | None = None,
        seed: int = 0,
    ) -> Job:
        return Job(
            target=case.target,
            artifact=artifact,
            workload=self._inputs.workloads[case.workload],
            input_picture=str(self._inputs.pictures[case.workload]),
            reference=str(self._reference(case.workload)),
            makes_reference=makes_reference,
            picture=str(picture),
            loop=loop,
            seed=seed,
            settings=settings or self._settings.get((case.target, case.workload), DEFAULT),
            software=case.target in self._inputs.software,
            command=self._inputs.commands.get(case.target),
            spawned_ns=time.perf_counter_ns(),
        )

    def _run(self, job: Job, log: Path, timeout_s: float) -> tuple[Outcome, Ended]:
        answer = self._answer
        for file in (answer, measured_file(answer)):
            file.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "esrbench.worker", str(answer)]  # -P: no file of the user's is imported
        watch = MemoryWatch(job.metered, job.workload)
        ended = run(
            command,
            stdin=encode(job),
            log=log,
            threads=job.workload.threads,
            timeout_s=timeout_s,
            temp=self._scratch,
            asked=None if job.makes_reference else self._inputs.environment,
        )
        if ended.exit_code == CANNOT_WRITE:
            raise OutputError(f"a launch could not write its files: {last_line(log) or f'see {self._scratch}'}")
        outcome = _outcome(answer, ended, log, timeout_s)
        return (watch.judged(outcome, ended, log) if outcome.status is Status.CRASHED else outcome), ended


def now() -> str:
    """The time of day as records hold it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def last_line(log: Path) -> str:
    """The last words of a process; empty where there are none."""
    return next(reversed(last_lines(log)), "")


def _outcome(answer: Path, ended: Ended, log: Path, timeout_s: float) -> Outcome:
    """What the process said; where it said nothing whole, what became of it."""
    whole = _read(answer)
    if isinstance(whole, Outcome):
        return whole
    died = _death_of(ended, whole, log, timeout_s)
    measured = _read(measured_file(answer))
    if isinstance(measured, Outcome):  # it died over the new shape, or when the session was closed
        return measured.with_late_failure(str(died.reason))
    return died


def _name_again(file: Path, other: Path) -> None:
    """Let ``other`` be the same file; a copy where the file system has no hard links."""
    try:
        other.unlink(missing_ok=True)  # a run that goes on draws its references again
        try:
            other.hardlink_to(file)
        except OSError:
            shutil.copyfile(file, other)
    except OSError as error:
        raise OutputError(f"{other} cannot be written: {error.strerror}") from error


def _read(answer: Path) -> Outcome | Exception:
    try:
        return decode(answer.read_bytes(), Outcome, "the launch's outcome")
    except (OSError, RecordError) as error:
        return error


def _death_of(ended: Ended, answer: Exception, log: Path, timeout_s: float) -> Outcome:
    if ended.timed_out:
        return Outcome(
            status=Status.TIMEOUT,
            reason=f"no result within {timeout_s:.0f} s; the process was ended",
            remedy="give it more time (--budget, or timeout_s in a suite file) or a smaller --tile",
        )
    reason = f"the process {_death(ended.exit_code)}"
    if ended.exit_code == 0:
        reason = f"the process ended as if all were well but left no result: {answer}"
    return Outcome(status=Status.CRASHED, reason=reason, remedy=f"read {log.name} in the run's logs folder")


def _death(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal_name(exit_code)
    hint = ", as the kernel's out-of-memory killer does" if -exit_code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
