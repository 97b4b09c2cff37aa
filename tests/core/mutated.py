"""Small checkpoints of every kind, each damaged or rebuilt by a seed: what a reader must bear."""

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from esrbench.exporter import ExportOptions, Model
from esrbench_exporters.ncnn_model import NcnnExporter

SEEDS = 300
PIECES = [
    *(bytes([code]) for code in b"().012N\x88]}t\x85\x86\x87Rbsuae\x81Q"),
    *(b"h\x00", b"q\x00", b"h\x05", b"r\xff\xff\xff\xff", b"K\x01", b"J\xff\xff\xff\x7f", b"M\xff\xff"),
    *(b"\x8a\x09" + b"\xff" * 8 + b"\x00", b"G\x7f\xf0" + bytes(6), b"X\x03\x00\x00\x00get", b"X\xff\xff\xff\xff"),
    *(b"ccollections\nOrderedDict\n", b"ccollections\nCounter\n", b"ctorch\nSize\n", b"ctorch\nFloatStorage\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"cposix\nmkdir\nX\x04\x00\x00\x00boom\x85R", b"cbuiltins\neval\n"),
    b"\x80\x05",
]
WORDS = ["0", "-1", "9" * 20, "1e309", "nan", "x", "", "7=7", "-23300=5,1", "0=-1", "1=9999999", "\u00e9", "Input"]
NUMBERS = [0, -1, 1, 7, 2**31, 2**63, 2**70, 1.5, None, "4", [], {}, True]


def mutated(seed: int, model: Model, folder: Path) -> Path:
    """Write checkpoint number ``seed`` into ``folder``."""
    chance = random.Random(seed)
    return chance.choice(_KINDS)(chance, model, folder)


def _tensors(model: Model) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in model.weights.items()}


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Bits flipped, cut off, put in, doubled or moved."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place : place + chance.choice([1, 4, 100])] = b""
            case 2:
                changed[place:place] = chance.randbytes(chance.choice([1, 4, 100]))
            case 3:
                changed[place:place] = changed[place : place + 50]
            case 4:
                changed[place : place + 8] = chance.choice([bytes(8), b"\xff" * 8])
    return bytes(changed[: chance.randrange(1, len(changed) + 1)] if chance.random() < 0.1 else changed)


def _edited(chance: random.Random, pickled: bytes) -> bytes:
    """Operations put in, or in the place of others."""
    changed = pickled
    for _ in range(chance.choice([1, 2, 5])):
        place = chance.randrange(2, len(changed))
        changed = (
            changed[:place]
            + b"".join(chance.choices(PIECES, k=chance.randrange(1, 6)))
            + changed[place + chance.randrange(3) :]
        )
    return changed


def _nested(chance: random.Random, model: Model) -> object:
    """The weights in wrappers, beside things that trainers save and things that none does."""
    content: object = _tensors(model)
    keys = ["params", "params_ema", "state_dict", "model", "net_g", "ema", "x" * 1000, "a.b", "", "module", "\n"]
    beside = [
        3,
        None,
        "text",
        torch.tensor(4),
        torch.zeros(3),
        [1],
        {},
        {0: 1},
        (1, (2, 3)),
        {"params": {"conv_first.weight": 1}},
    ]
    for _ in range(chance.randrange(7)):
        prefix = chance.choice(["", "module.", "_orig_mod.", "net_g.", "."])
        content = {chance.choice([chance.choice(keys), f"{prefix}{key}"]): value for key, value in content.items()}  # type: ignore[attr-defined]
        content = {chance.choice(keys): content}
        for _ in range(chance.randrange(3)):
            content[chance.choice([*keys, 3, "n_averaged", "conv_first.weight"])] = chance.choice(beside)
    return content


def _zip(chance: random.Random, model: Model, folder: Path) -> Path:
    buffer = io.BytesIO()
    torch.save(_nested(chance, model), buffer)
    path = folder / "a.pth"
    if chance.random() < 0.4:
        path.write_bytes(_damaged(chance, buffer.getvalue()))
        return path
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w", chance.choice([0, 8])) as changed:
        for entry in archive.infolist():
            data = archive.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = chance.choice([_edited, _edited, _damaged])(chance, data)
            changed.writestr(entry.filename, data)
    return path


def _old(chance: random.Random, model: Model, folder: Path) -> Path:
    buffer = io.BytesIO()
    torch.save(_nested(chance, model), buffer, _use_new_zipfile_serialization=False)
    (folder / "a.pth").write_bytes(chance.choice([_edited, _damaged])(chance, buffer.getvalue()))
    return folder / "a.pth"


def _bare(chance: random.Random, model: Model, folder: Path) -> Path:
    pickled = pickle.dumps({"a": [1, {"b": (2, 3)}]}, chance.choice([0, 1, 2, 4, 5]))
    (folder / "a.pt").write_bytes(b"\x80\x02" + _edited(chance, pickled * chance.choice([1, 5])))
    return folder / "a.pt"


def _safetensors(chance: random.Random, model: Model, folder: Path) -> Path:
    header: dict[str, dict[str, object]] = {}
    data = b""
    for name, array in model.weights.items():
        begin, data = len(data), data + array.tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    for _ in range(chance.randrange(4)):
        entry = chance.choice(list(header.values()))
        match chance.randrange(4):
            case 0:
                entry["dtype"] = chance.choice(["F16", "BF16", "I64", "F8_E4M3", "F4", "C64", "", 3, None, "U8"])
            case 1:
                entry["shape"] = chance.choice([[], [0], [-1], [2**40, 2**40], [chance.choice(NUMBERS)], 3, None])
            case 2:
                entry["data_offsets"] = [chance.choice(NUMBERS), chance.choice([*NUMBERS, len(data)])]
            case 3:
                entry[chance.choice(["x", "dtype"])] = chance.choice(NUMBERS)
    text = json.dumps(header).encode()
    length = chance.choice([len(text)] * 4 + [0, 2**63 - 1, 2**64 - 1, len(text) + 1])
    content = length.to_bytes(8, "little") + text + data
    (folder / "a.safetensors").write_bytes(_damaged(chance, content) if chance.random() < 0.3 else content)
    return folder / "a.safetensors"


def _ncnn(chance: random.Random, model: Model, folder: Path) -> Path:
    param, weights = NcnnExporter().export(model, ExportOptions(), folder).paths
    lines = [line.split(" ") for line in param.read_text().split("\n")]
    for _ in range(chance.choice([1, 1, 3])):
        words = chance.choice([line for line in lines if line])
        match chance.randrange(4):
            case 0:
                words[chance.randrange(len(words))] = chance.choice(WORDS)
            case 1:
                words.insert(chance.randrange(len(words) + 1), chance.choice(WORDS))
            case 2:
                lines.insert(chance.randrange(len(lines)), list(words))
            case 3:
                lines.remove(words)
    param.write_text("\n".join(map(" ".join, lines)), encoding="utf-8")
    if chance.random() < 0.3:
        param.write_bytes(_damaged(chance, param.read_bytes()))
    if chance.random() < 0.3:
        weights.write_bytes(_damaged(chance, weights.read_bytes()))
    return chance.choice([param, weights])


_KINDS: list[Callable[[random.Random, Model, Path], Path]] = [_zip, _zip, _old, _old, _bare, _safetensors, _ncnn, _ncnn]
