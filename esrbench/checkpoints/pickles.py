"""Read what a pickle asks for, without carrying it out.

torch's restricted loader runs no foreign code, yet some of what it allows can be made to fill the memory or to hang: a
``bytearray(10**10)``; a storage that is called like a function; a dictionary's key of tuples in tuples, whose hash
takes for ever; a million copies of one large dictionary; a ``get`` set on a dictionary. A state dict needs none of it,
so a pickle is held to what torch.save writes of state dicts: these operations, few and small values, plain keys.

The operations are those of torch/_weights_only_unpickler.py (torch 2.13).
"""

import io
import pickletools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from esrbench.errors import CheckpointError

LARGEST_BYTES = 16 << 20  # of all pickles of a file; the official x4plus has 0.1 MiB for 702 tensors
MOST_STEPS = 600_000
"""Operations, and values copied by them. A tensor takes about 45; a trainer's file of x4plus with its average, its
discriminator and two Adams has 5,000 of them. So many are checked in two seconds."""
DEEPEST = 8  # tuples in tuples; torch.save nests them two deep: a tensor's arguments, and its shape among those
LETTERS_A_STEP = 8  # of a key: each is looked at several times, under whatever dictionary it is a key
WIDEST = 64  # values in a tuple that is a key or an argument: the dimensions of a tensor, as torch limits them
MOST_NUMBERS = 1 << 30  # in all storages: as many as the largest file has bytes

_GLOBALS = re.compile(
    r"torch (\w+Storage|[bqu]*(float|int)\w*|bool|complex\d+)"  # kinds of storages and numbers
    r"|torch\.storage UntypedStorage"
)
_CALLED = re.compile(
    r"torch (Size|device)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)"
    r"|torch\.nn\.parameter Parameter"
    r"|collections (OrderedDict|Counter)"  # a counter is in a learning rate schedule's state
)


class Kind(Enum):
    """Name what is known of a value."""

    TEXT = auto()
    SMALL = auto()  # 32 bits at most: no such numbers can be chosen to collide in a dictionary by the thousand
    OTHER = auto()
    TUPLE = auto()
    LIST = auto()
    DICT = auto()
    GLOBAL = auto()


@dataclass(slots=True, eq=False)
class Value:
    """Describe a value that the pickle would make."""

    kind: Kind = Kind.OTHER
    about: object = None  # a text, a number, the name of a global
    items: "Sequence[Value]" = ()  # of a tuple; the first two keys of a dictionary
    size: int = 0  # of a dictionary
    depth: int = 0  # of tuples in it


def check(content: bytes, pickles: int = 1) -> None:
    """Check the pickles at the start of ``content``.

    Those that are missing are left for torch to report.

    Raises:
        CheckpointError: one is damaged, or asks for what no state dict holds.
    """
    stream = io.BytesIO(content[:LARGEST_BYTES])
    machine = _Machine()
    try:
        for _ in range(pickles):
            if stream.tell() < len(content):
                for opcode, argument, _ in pickletools.genops(stream):
                    machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError) as error:
        if len(content) > LARGEST_BYTES:
            raise CheckpointError(
                f"its pickle has more than {LARGEST_BYTES >> 20} MiB; save the weights alone"
            ) from error
        raise CheckpointError(f"its pickle is damaged: {str(error)[:100]}") from error


class _Machine:
    """Follow a pickle's operations on a stack and a memo."""

    def __init__(self) -> None:
        self.stack: list[Value] = []
        self.marks: list[int] = []  # sizes of the stack
        self.memo: dict[object, Value] = {}
        self.steps = 0
        self.storages: set[object] = set()
        self.numbers = 0

    def step(self, name: str, argument: object) -> None:
        """Take one operation."""
        self.count(1)
        if name in _CONSTANTS:
            self.stack.append(Value(_CONSTANTS[name], argument))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        else:
            raise _refusal(f"holds the operation {name}, which torch.save never writes")

    def count(self, steps: int) -> None:
        """Add to the steps of the pickle; refuse too many."""
        self.steps += steps
        if self.steps > MOST_STEPS:
            raise _refusal(f"takes more than {MOST_STEPS:,} steps")

    def pop(self, count: int) -> list[Value]:
        """Take the topmost values."""
        if count > len(self.stack):
            raise IndexError("it takes more values than there are")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def pop_mark(self) -> list[Value]:
        """Take what stands above the last mark."""
        return self.pop(len(self.stack) - self.marks.pop())

    def protocol(self, number: object) -> None:
        if number != 2:
            raise CheckpointError(f"its pickle is of protocol {number}; torch.save writes 2")

    def stop(self, _: object) -> None:
        self.stack.clear()
        self.marks.clear()
        self.memo.clear()

    def named(self, argument: object) -> None:
        name = str(argument)
        if not (_GLOBALS.fullmatch(name) or _CALLED.fullmatch(name)):
            raise CheckpointError(
                f"it asks for {name[:100].replace(' ', '.')}, which is no part of a state dict; nothing of it was run. "
                "If you trust it, save its state dict by itself"
            )
        self.stack.append(Value(Kind.GLOBAL, name))

    def tuple_of(self, items: list[Value]) -> None:
        depth = 1 + max((item.depth for item in items), default=0)
        if depth > DEEPEST:
            raise _refusal(f"nests tuples more than {DEEPEST} deep")
        self.stack.append(Value(Kind.TUPLE, items=items, depth=depth))

    def append(self, _: list[Value]) -> None:
        if self.stack[-1].kind is not Kind.LIST:
            raise _refusal("appends to something that is no list")

    def set_items(self, pairs: list[Value]) -> None:
        changed = self.stack[-1]
        if changed.kind is not Kind.DICT or len(pairs) % 2:
            raise _refusal("sets keys of something that is no dictionary")
        for key in pairs[::2]:
            _check_key(key)
            self.count(len(str(key.about)) // LETTERS_A_STEP)
        changed.size += len(pairs) // 2
        changed.items = (*changed.items, *pairs[::2])[:2]  # two are enough to tell that there is more than one

    def build(self, _: object) -> None:
        """Accept only the attribute that ``state_dict()`` sets.

        Any other could take the place of a method.
        """
        inst, state = self.pop(2)
        if {inst.kind, state.kind} != {Kind.DICT} or [key.about for key in state.items] not in ([], ["_metadata"]):
            raise _refusal("sets attributes, which could take the place of methods")
        self.stack.append(inst)

    def call(self, _: object) -> None:
        called, arguments = self.pop(2)
        if called.kind is not Kind.GLOBAL or not _CALLED.fullmatch(str(called.about)):
            raise _refusal(f"calls {str(called.about)[:100].replace(' ', '.')}")
        if arguments.kind is not Kind.TUPLE:
            raise _refusal("calls something without a tuple of arguments")
        _check_narrow(arguments)
        is_dict = str(called.about).startswith("collections")
        if is_dict and [argument.kind for argument in arguments.items] not in ([], [Kind.DICT]):
            raise _refusal("makes a dictionary from something that is no dictionary")
        copied = next(iter(arguments.items), Value())
        self.count(copied.size)
        self.stack.append(Value(Kind.DICT, items=copied.items, size=copied.size) if is_dict else Value())

    def storage(self, _: object) -> None:
        """Accept a reference to a storage of numbers.

        It is ``("storage", kind, key, device, count)``; older files add a view.
        """
        (wanted,) = self.pop(1)
        kinds = [item.kind for item in wanted.items[:4]]
        if kinds != [Kind.TEXT, Kind.GLOBAL, Kind.TEXT, Kind.TEXT] or wanted.items[0].about != "storage":
            raise _refusal("asks for an object that is no storage of numbers")
        key, count = (item.about for item in (*wanted.items, Value())[2:5:2])
        if type(count) is not int or count < 0:
            raise _refusal("asks for a storage whose size is no whole number")
        self.numbers += count if key not in self.storages else 0  # networks may share one
        self.storages.add(key)
        if max(count, self.numbers) > MOST_NUMBERS:
            raise _refusal(f"announces {self.numbers:,} numbers, more than {MOST_NUMBERS:,}")
        self.stack.append(Value())


def _check_key(key: Value) -> None:
    if key.kind is Kind.TUPLE:
        _check_narrow(key)
    parts = key.items if key.kind is Kind.TUPLE else [key]
    if not all(part.kind in (Kind.TEXT, Kind.SMALL) for part in parts):
        raise _refusal("has a dictionary whose keys are neither texts, small numbers nor tuples of those")


def _check_narrow(outer: Value) -> None:
    for value in (outer, *outer.items):
        if value.kind is Kind.TUPLE and len(value.items) > WIDEST:
            raise _refusal(f"holds a tuple of {len(value.items)} values where {WIDEST} are the most")


def _refusal(what: str) -> CheckpointError:
    return CheckpointError(f"its pickle {what}; no state dict does: do not use the file")


_CONSTANTS = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "NONE", "NEWTRUE", "NEWFALSE"), Kind.SMALL),
    **dict.fromkeys(("BINFLOAT", "LONG1"), Kind.OTHER),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING"), Kind.TEXT),
    "EMPTY_LIST": Kind.LIST,
    "EMPTY_DICT": Kind.DICT,
}

_OPERATIONS: dict[str, Callable[[_Machine, object], None]] = {
    "PROTO": _Machine.protocol,
    "STOP": _Machine.stop,
    "GLOBAL": _Machine.named,
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of([]),
    "TUPLE1": lambda machine, _: machine.tuple_of(machine.pop(1)),
    "TUPLE2": lambda machine, _: machine.tuple_of(machine.pop(2)),
    "TUPLE3": lambda machine, _: machine.tuple_of(machine.pop(3)),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "BUILD": _Machine.build,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BINPERSID": _Machine.storage,
}
