"""A session in a process of its own, asked through a pipe: what it does to memory or to itself stays there."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from esrbench import memory, plugins
from esrbench.artifact import LocatedArtifact
from esrbench.runner import LoadOptions
from esrbench.target import Target
from esrbench.workload import PreparedWorkload


class Served:
    """The near end: each question returns when the work is done. A question costs about 0.1 ms."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def ask(self, question: str) -> Any:
        """``tile``, ``image`` or ``facts``; ``tile_s`` is answered with the seconds that the tile took."""
        self._pipe.send(question)
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def served(located: LocatedArtifact, target: Target, workload: PreparedWorkload) -> Iterator[Served]:
    """Load ``target`` in a new process; gone afterwards."""
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, located, target, workload), daemon=True)
    process.start()
    far.close()
    try:
        yield Served(near)
    finally:
        near.close()
        process.kill()  # some runtimes hang or crash when they are torn down
        process.join()


def _serve(pipe: Connection, located: LocatedArtifact, target: Target, workload: PreparedWorkload) -> None:
    batches = tuple(workload.batches())
    count, height, width, _ = batches[0].shape
    memory.reset_peak_rss()
    options = LoadOptions(threads=workload.record.threads, tile_shape=(count, height, width))
    with plugins.runner(target.runtime).load(located, target, options) as session:
        while question := _asked(pipe):
            if question == "tile":
                session.run(batches[0][:1])
                pipe.send(None)
            elif question == "tile_s":
                start = time.perf_counter()
                session.run(batches[0][:1])
                pipe.send(time.perf_counter() - start)
            elif question == "image":
                for _ in session.stream(batches):
                    pass
                pipe.send(None)
            else:
                pipe.send((session.placement(), memory.peak_rss_bytes()[0]))


def _asked(pipe: Connection) -> str | None:
    """The next question; None where nobody asks any more."""
    try:
        question: str = pipe.recv()
    except EOFError:
        return None
    return question
