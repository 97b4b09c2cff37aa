"""Three hundred ways to damage a run's folder, or to make it lie; everything about one follows from its number."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Chance = random.Random
Mutation = Callable[[Path, Chance], None]

HOSTILE = (
    "../../victim",
    "/etc/passwd",
    "",
    "a" * 5000,
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "![](http://127.0.0.1:1/x.png)",
    "torch@cpu:fp32\n@everyone",
    "nul\x00byte",
)
ODD = (None, {}, [], "", "x", -1, 0, 1e308, 10**18 + 1, 10**30, -(10**18), True, [[]] * 3, {"a": {"a": {}}}, 0.5)


def records(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if path.is_file() and not path.is_symlink())


def rechained(folder: Path) -> None:
    """Mend the digests, as somebody would who means to deceive; what is no JSON stays as it is."""
    before = folder / "run.json"
    launches = sorted((folder / "launches").glob("[0-9]*.json")) if (folder / "launches").is_dir() else []
    for path in launches:
        before = _with(path, previous_sha256=digest(before)) and path
    others = [*folder.glob("resumed.*"), *folder.glob("tuning/*"), *folder.glob("pictures/*")]
    files = {path.relative_to(folder).as_posix(): digest(path) for path in others if path.is_file()}
    _with(folder / "end.json", launches=len(launches), last_sha256=digest(before), files=files)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and path.stat().st_size < 1 << 20 else ""


def _with(path: Path, **fields: object) -> bool:
    try:
        record = json.loads(path.read_bytes())
        path.write_text(json.dumps(record | fields))
    except (OSError, ValueError, TypeError, RecursionError):
        pass
    return True


def flip(folder: Path, chance: Chance) -> None:
    path = chance.choice(records(folder))
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(folder: Path, chance: Chance) -> None:
    path = chance.choice([each for each in folder.rglob("*") if each.is_file()])
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content) or 1)])


def swap(folder: Path, chance: Chance) -> None:
    """Another value, of another type or beyond all bounds, somewhere in a record; the digests fit."""
    path = chance.choice(records(folder))
    record = json.loads(path.read_bytes())
    holder, key = chance.choice(list(_places(record)))
    holder[key] = chance.choice((*ODD, *HOSTILE))
    path.write_text(json.dumps(record))
    rechained(folder)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def rename(folder: Path, chance: Chance) -> None:
    """A hostile name for a workload, in every record; the digests fit."""
    new = json.dumps(chance.choice(HOSTILE))
    for path in records(folder):
        path.write_text(path.read_text().replace('"t48b1"', new))
    rechained(folder)


def remove(folder: Path, chance: Chance) -> None:
    path = chance.choice(sorted(folder.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy(folder: Path, chance: Chance) -> None:
    """A launch under another number, or in another's place."""
    launches = sorted((folder / "launches").iterdir())
    number = chance.choice([*range(len(launches) + 3), 10**12])
    place = folder / "launches" / f"{number:04d}.json"
    source = chance.choice(launches)
    if place != source:
        shutil.copy(source, place)
    if chance.random() < 0.5:
        rechained(folder)


def link(folder: Path, chance: Chance) -> None:
    """To a file or folder outside, in the place of something inside or beside it."""
    outside = folder.parent / "outside"
    target = chance.choice([outside / "victim.txt", outside, outside / "run.json", Path("/dev/zero"), outside / "new"])
    path = chance.choice([each for each in sorted(folder.rglob("*")) if not each.is_symlink()])
    if chance.random() < 0.3:
        path = path.with_name(chance.choice(["0009.json", "reference.t48b1.txt", "x.json", "0009.txt"]))
    elif path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def pipe(folder: Path, chance: Chance) -> None:
    path = chance.choice([each for each in sorted(folder.rglob("*")) if each.is_file()])
    path.unlink()
    os.mkfifo(path)


def sparse(folder: Path, chance: Chance) -> None:
    path = chance.choice([each for each in sorted(folder.rglob("*")) if each.is_file()])
    os.truncate(path, chance.choice([20 << 30, 17 << 20]))


def nest(folder: Path, chance: Chance) -> None:
    opening, closing = chance.choice([('{"a":', "}"), ("[", "]"), ('{"schema_version":3,"case":', "}")])
    chance.choice(records(folder)).write_text(opening * 100_000 + "1" + closing * 100_000)


def folder_for_file(folder: Path, chance: Chance) -> None:
    path = chance.choice([each for each in sorted(folder.rglob("*")) if each.is_file()])
    path.unlink()
    path.mkdir()


def older(folder: Path, chance: Chance) -> None:
    """A record, or all, of another schema version."""
    paths = chance.choice([records(folder), [chance.choice(records(folder))]])
    for path in paths:
        _with(path, schema_version=chance.choice([1, 2, 4, -1, 10**9]))


KINDS: tuple[Mutation, ...] = (
    flip,
    truncate,
    swap,
    swap,
    swap,
    rename,
    remove,
    copy,
    link,
    pipe,
    sparse,
    nest,
    folder_for_file,
    older,
)


def mutate(folder: Path, number: int) -> Mutation:
    """Do to the run in ``folder`` what its number says; returns what that was."""
    mutation = KINDS[number % len(KINDS)]
    mutation(folder, random.Random(number))
    return mutation
