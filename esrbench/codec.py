"""Strict JSON for esrbench's value types: unknown fields are refused, targets are strings."""

import json
import re
from typing import Any, TypeVar

import msgspec

from esrbench.errors import EsrbenchError, RecordError
from esrbench.target import Target

T = TypeVar("T")

_LONGEST_REASON = 300  # characters

_LONE_BYTE = re.compile(rb"(?<!\\)(?:\\\\)*\\udc[89a-f][0-9a-f]")
"""An escape as :func:`encode` writes it of a byte in a file's name that is not UTF-8 (PEP 383)."""


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of every value type that is written to disk or passed between processes."""


def encode(value: object) -> bytes:
    """JSON of a value, indented, with a final newline."""
    try:
        document = msgspec.json.encode(value, enc_hook=_to_json)
    except UnicodeEncodeError:  # a file's name that is not UTF-8: its bytes stand as escapes, which msgspec refuses
        plain = json.dumps(msgspec.to_builtins(value, enc_hook=_to_json))
        finite = json.loads(plain, parse_constant=lambda _: None)  # as msgspec writes infinity
        return json.dumps(finite, indent=2).encode() + b"\n"
    return msgspec.json.format(document, indent=2) + b"\n"


def decode(data: bytes, type_: type[T], origin: str) -> T:
    """Decode the value in ``data``; ``origin`` names it in errors.

    Raises:
        RecordError: not JSON, or not of this type, whatever it is instead: too deep, no text, a number too large.
    """
    try:
        if _LONE_BYTE.search(data):
            return msgspec.convert(json.loads(data, parse_constant=_refuse), type_, dec_hook=_from_json)
        return msgspec.json.decode(data, type=type_, dec_hook=_from_json)
    except (msgspec.MsgspecError, EsrbenchError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        name, why = getattr(type_, "__name__", type_), str(error)[:_LONGEST_REASON]  # it may quote what it was given
        raise RecordError(f"{origin} is not a valid {name}: {why}; get the file again") from error


def schema(type_: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a value type."""
    return msgspec.json.schema(type_, schema_hook=_schema)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _to_json(value: object) -> str:
    if isinstance(value, Target):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _from_json(type_: type, value: object) -> object:
    if type_ is not Target:
        raise NotImplementedError(f"{type_.__name__} has no JSON form")
    if not isinstance(value, str):
        raise TypeError(f"a target is a string, not {type(value).__name__}")
    return Target(value)


def _schema(type_: type) -> dict[str, Any]:
    if type_ is Target:
        return {"type": "string", "pattern": "^[a-z][a-z0-9_-]*@[a-z]+[0-9]*:[a-z0-9]+$"}
    raise NotImplementedError(f"{type_.__name__} has no JSON form")
