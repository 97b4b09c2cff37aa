"""What a pickle asks for, read without carrying it out.

torch's restricted loader runs no foreign code, yet some of what it allows can be made to fill the memory or to hang: a
``bytearray(10**10)``; widening a view that repeats one byte; a dictionary's key of tuples in tuples in tuples, each of
which holds the one before twice. A state dict needs none of it, so a pickle is held to what state dicts need.
"""

import pickletools
import re
from typing import IO

from esrbench.errors import CheckpointError

DEEPEST = 8  # tuples in tuples; torch.save nests them two deep: a tensor's arguments, and its shape among those
NEWEST_PROTOCOL = 2  # that torch's restricted loader knows

_HARMLESS = re.compile(
    r"torch (\w+Storage|[bqu]*(float|int)\w*|bool|complex\d+|Size|device)"  # kinds of storages and numbers
    r"|torch\.storage UntypedStorage"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)"
    r"|torch\.nn\.parameter Parameter"
    r"|collections (OrderedDict|Counter)"  # a counter is in a learning rate schedule's state
)


def check(stream: IO[bytes]) -> None:
    """Read one pickle, up to its end.

    Raises:
        CheckpointError: it is damaged, or asks for what no state dict holds.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode, argument)
    except (ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"its pickle is damaged: {str(error)[:100]}") from error


class _Machine:
    """A pickle's stack and memo. Of each value it knows how deep tuples are nested in it, and nothing else."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.marks: list[int] = []  # sizes of the stack
        self.memo: dict[object, int] = {}

    def step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Take one operation."""
        if opcode.name in ("GLOBAL", "INST"):
            _check_global(str(argument))
        elif opcode.proto > NEWEST_PROTOCOL:
            raise CheckpointError(f"its pickle is of protocol {opcode.proto}; torch.save writes {NEWEST_PROTOCOL}")
        if "PUT" in opcode.name:
            self.memo[argument] = self.stack[-1]
        elif "GET" in opcode.name:
            self.stack.append(self.memo[argument])
        elif opcode.name == "MARK":
            self.marks.append(len(self.stack))
        else:
            taken = self._taken(opcode)
            depth = 1 + max(taken, default=0) if "TUPLE" in opcode.name else 0
            if depth > DEEPEST:
                raise CheckpointError(
                    f"its pickle nests tuples more than {DEEPEST} deep; no state dict does, don't use it"
                )
            self.stack.extend([depth] * len(opcode.stack_after))

    def _taken(self, opcode: pickletools.OpcodeInfo) -> list[int]:
        before = opcode.stack_before
        if pickletools.markobject in before:
            start = self.marks.pop() - before.index(pickletools.markobject)
        else:
            start = len(self.stack) - len(before)
        if start < 0:
            raise IndexError(f"{opcode.name} takes more values than there are")
        taken = self.stack[start:]
        del self.stack[start:]
        return taken


def _check_global(asked: str) -> None:
    if not _HARMLESS.fullmatch(asked):
        raise CheckpointError(
            f"it asks for {asked.replace(' ', '.')}, which is no part of a state dict; nothing of it was run. "
            "If you trust it, save its state dict by itself"
        )
