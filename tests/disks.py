"""A disk of its own for a test: small, so that it can be filled, or turned read-only."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, *, but_bytes: int = 0) -> None:
        """Leave so much room."""
        facts = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(bytes(facts.f_bavail * facts.f_bsize - but_bytes))

    def forbid_writing(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)


@contextmanager
def disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    """Mount one at ``folder``, which only root may do, and only on Linux."""
    if not sys.platform.startswith("linux") or os.getuid() != 0:
        pytest.skip("only root can mount a file system in memory, and only on Linux")
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs"]
    mounted = subprocess.run(["mount", *options, folder], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system in memory cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
