"""Machines that disturb what is measured on them: a factor for each launch in turn, and one for each tile in it.

The figures are measured ones. Launches of one onnxruntime case on two quiet cores: 3.4 % between launches, 1.2 % within
one; in their order 356 356 352 348 342 342 340 325 330 327 ms, so most of it is drift, and neighbours lie within 1 %.
Shared machines: launches slowed down by 2 to 30 %.
"""

import math
import random
from collections.abc import Callable, Iterator

BETWEEN, NEIGHBOURS, WITHIN = 0.034, 0.01, 0.012
DISTURBED, SLOWED = 0.2, (0.02, 0.30)
DRIFT, TURN = 0.009, 0.1

Machine = Iterator[float]
"""How many times as long as it should each launch takes, in the order in which they are made."""


def gaussian(chance: random.Random) -> Machine:
    """Every launch by itself: 3.4 %, standard deviation."""
    while True:
        yield math.exp(chance.gauss(0, BETWEEN))


def bimodal(chance: random.Random) -> Machine:
    """Neighbours within 1 %, but one launch in five is disturbed, and takes 2 to 30 % longer."""
    while True:
        slowed = chance.uniform(*SLOWED) if chance.random() < DISTURBED else 0.0
        yield (1 + slowed) * math.exp(chance.gauss(0, NEIGHBOURS))


def drifting(chance: random.Random) -> Machine:
    """Neighbours within 1 %, on a level that moves by 0.9 % a launch and turns round once in ten, by chance."""
    level, step = 0.0, chance.choice((-DRIFT, DRIFT))
    while True:
        yield math.exp(level + chance.gauss(0, NEIGHBOURS))
        level += step
        step = -step if chance.random() < TURN else step


MODELS: dict[str, Callable[[random.Random], Machine]] = {
    "gaussian": gaussian,
    "bimodal": bimodal,
    "drifting": drifting,
}


def within(chance: random.Random, count: int) -> list[float]:
    """Factors of so many tiles of one launch."""
    return [math.exp(chance.gauss(0, WITHIN)) for _ in range(count)]
