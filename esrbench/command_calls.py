"""Calls of one command in a launch: what is written in the place of its fields, and the check of what it draws."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from esrbench import command_process, images
from esrbench.artifact import sha256_of
from esrbench.command import ARTIFACT_FIELDS, REQUIRED, Command
from esrbench.command_process import Watch
from esrbench.command_target import LocatedCommand
from esrbench.errors import CommandError, ImageError, OutputError
from esrbench.images import Pixels
from esrbench.job import Job
from esrbench.passes import Clock

MODELS_FOLDER = "models"

MOST_TIMES = 16
"""Of the pixels that there should be: another size is told, one that would fill the memory is not read."""


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one command, whose pictures lie in a folder that goes away."""

    located: LocatedCommand
    values: Mapping[str, str]  # of the fields, less input and output
    folder: Path
    scale: int
    clock: Clock

    @classmethod
    def of(cls, job: Job, located: LocatedCommand, folder: Path, clock: Clock) -> Self:
        """Calls for a launch; the export that the command wants is put into ``folder``.

        Raises:
            OutputError: it cannot be put there.
        """
        values = _values(job) | _artifact_values(job, located.command, folder)
        return cls(located=located, values=values, folder=folder, scale=job.artifact.artifact.spec.scale, clock=clock)

    def draw(self, picture: Path, shape: tuple[int, int], watch: Watch | None = None) -> tuple[int, Pixels]:
        """Nanoseconds of a call on ``picture``, which is of ``shape``, and what it drew.

        Raises:
            CommandError: it failed, or drew no picture of the right size.
            OutOfMemoryError: it failed for want of memory.
        """
        output = self.folder / "output.png"
        output.unlink(missing_ok=True)
        command = self.located.command
        argv = command.argv({**self.values, "input": str(picture), "output": str(output)})
        took_ns = command_process.call([self.located.program, *argv[1:]], command.environment, self.clock, watch)
        return took_ns, self._checked(output, shape)

    def digests(self) -> dict[str, str]:
        """Name → the beginning of the sha256 of the program, and of each file that its words name but the export's."""
        words = self.located.command.argv({**self.values, **dict.fromkeys((*REQUIRED, *ARTIFACT_FIELDS), "")})
        files = [Path(self.located.program), *(Path(word) for word in words[1:] if word and Path(word).is_file())]
        return {file.name: f"sha256 {sha256_of(file)[:12]}" for file in files}

    def _checked(self, output: Path, shape: tuple[int, int]) -> Pixels:
        words = command_process.last_words()
        about = f": {words}" if words else ""
        if not output.is_file():
            raise CommandError(f"the command ended with exit code 0, but wrote no picture{about}")
        height, width = (side * self.scale for side in shape)
        try:
            pixels = images.read_own(output, MOST_TIMES * height * width).rgb
        except ImageError as error:
            raise CommandError(f"the command ended with exit code 0, but {error}") from error
        if pixels.shape[:2] != (height, width):
            found = f"{pixels.shape[1]}×{pixels.shape[0]}"
            raise CommandError(
                f"the command drew a picture of {found} pixels; ×{self.scale} is {width}×{height}{about}"
            )
        return pixels


def _values(job: Job) -> dict[str, str]:
    """What stands in the place of the fields that are the same in every call."""
    tile_px, halo_px = job.workload.tile_px, job.workload.halo_px
    values = {
        "scale": job.artifact.artifact.spec.scale,
        "tile": tile_px,
        "core": tile_px - 2 * halo_px,
        "halo": halo_px,
        "threads": job.workload.threads,
        "device": job.target.device_index,
        "model": job.artifact.artifact.model,
    }
    return {name: str(value) for name, value in values.items()}


def _artifact_values(job: Job, command: Command, folder: Path) -> dict[str, str]:
    """The export's files, linked or copied into a folder that bears the name that NCNN's tools ask for."""
    if command.format is None:
        return {}
    models = folder / MODELS_FOLDER
    models.mkdir()
    for index, file in enumerate(job.artifact.artifact.files):
        _put(job.artifact.path(index), models / file.name)
    first = models / job.artifact.artifact.files[0].name
    return {"artifact": str(first), "artifact_folder": str(models), "artifact_name": first.stem}


def _put(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(file)
    except OSError:  # Windows lets only some users make links
        try:
            shutil.copyfile(file, place)
        except OSError as error:
            raise OutputError(f"{place} cannot be written: {error.strerror}") from error
