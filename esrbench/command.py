"""Another program as a target: a command line that draws one picture a call, as a suite names it."""

import re
import shlex
import string
from collections.abc import Mapping, Sequence
from typing import Self

import msgspec

from esrbench.codec import Value
from esrbench.errors import UnknownNameError, UsageError
from esrbench.target import Precision, Target

FIELDS = ("input", "output", "scale", "tile", "core", "halo", "threads", "device", "model")
"""What stands in braces: ``{input}`` and ``{output}`` are paths of PNGs, ``{tile}`` the side of the workload's window,
``{core}`` the same without its two halos (what NCNN's tools call tile size), ``{device}`` the index of the device."""

ARTIFACT_FIELDS = ("artifact", "artifact_folder", "artifact_name")
"""With a format, as in ``{artifact:ncnn}``: the export's first file, a folder called ``models`` that holds its files,
and the first file's name without its suffix. realesrgan-ncnn-vulkan and Upscayl take no other name for the folder."""

REQUIRED = ("input", "output")

BORDER_PX = 32
"""Input pixels at each border in which a picture is not compared: what is supposed beyond a border is each program's
choice, and reaches far inside. Of realesrgan-x4plus on a photo of 128², drawn with zeros and with a reflection of 10 px
beyond the borders, 81.6 % of the values are within 1/255 of each other, 94.0 % at 12 px from the borders, 99.1 % at 24,
99.9 % at 32 (measured once, torch fp32 on 128², zeros against reflected borders)."""

SOFTWARE = " (software)"
_FORM = re.compile(rf"(?P<target>[^=]+?)(?P<software>{re.escape(SOFTWARE)})?=(?P<command>.*)", re.DOTALL)


class Command(Value, frozen=True, kw_only=True):
    """A program, what it is called with, and what it claims to run on. The form of a ``[[commands]]`` table."""

    name: str  # the RUNTIME of its target
    device: str = "cpu"
    precision: Precision = Precision.FP32
    command: str  # split as a shell does, run without one
    software: bool = False  # its graphics device is really the CPU
    environment: dict[str, str] = msgspec.field(default_factory=dict)  # variables beside those of this process
    border_px: int = BORDER_PX

    def __post_init__(self) -> None:
        target = self.target
        if self.border_px < 0:
            raise UsageError(f"command {target}: border_px {self.border_px} was asked for; it is at least 0")
        words = self._words
        if not words:
            raise UsageError(f"command {target} is empty; write the program and its arguments")
        found = [field for word in words for _, field, _ in word if field is not None]
        for required in REQUIRED:
            if required not in found:
                raise UsageError(
                    f"command {target} lacks {{{required}}}: {self.command!r}; "
                    "write where the program takes the picture's path"
                )
        if len(self._formats) > 1:
            raise UsageError(f"command {target} asks for several formats: {', '.join(self._formats)}; name one")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A command in one line: ``NAME@DEVICE:PRECISION=TEMPLATE``, with `` (software)`` before the ``=`` where it is.

        Raises:
            UsageError: it has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"command {text!r} is not of the form NAME@DEVICE:PRECISION=COMMAND, for example "
                "'realesrgan-ncnn-vulkan@vulkan:fp16=realesrgan-ncnn-vulkan -i {input} -o {output} -s {scale}'"
            )
        target = Target(match["target"].strip())
        return cls(
            name=target.runtime,
            device=target.device,
            precision=target.precision,
            command=match["command"],
            software=match["software"] is not None,
        )

    @property
    def target(self) -> Target:
        """Its id, in all that is recorded."""
        return Target.of(self.name, self.device, self.precision)

    @property
    def program(self) -> str:
        """What is started, as it is written."""
        return "".join(literal for literal, _, _ in self._words[0])

    @property
    def format(self) -> str | None:
        """The format of the export that it is given; None where it has a model of its own."""
        return next(iter(self._formats), None)

    def argv(self, values: Mapping[str, str]) -> list[str]:
        """The words of a call, with ``values`` in the place of the fields that bear their names."""
        return [
            "".join(literal + (values[field] if field is not None else "") for literal, field, _ in word)
            for word in self._words
        ]

    @property
    def _words(self) -> Sequence[Sequence[tuple[str, str | None, str | None]]]:
        """(text, field after it, the field's format) of each word; braces of the program's own are written twice.

        Raises:
            UsageError: a quotation or brace is not closed, or a field is not known.
        """
        try:
            words = [list(string.Formatter().parse(word)) for word in shlex.split(self.command)]
        except ValueError as error:
            raise UsageError(f"command {self.target}: {self.command!r} cannot be read: {error}") from error
        return [[self._known(literal, field, of, mark) for literal, field, of, mark in word] for word in words]

    @property
    def _formats(self) -> list[str]:
        return list(dict.fromkeys(of for word in self._words for _, _, of in word if of is not None))

    def _known(
        self, literal: str, field: str | None, of: str | None, mark: str | None
    ) -> tuple[str, str | None, str | None]:
        """A piece of a word, once its field is one that there is."""
        if field is None:
            return literal, None, None
        if field in FIELDS and not of and not mark:
            return literal, field, None
        if field in ARTIFACT_FIELDS and of and not mark:
            return literal, field, of
        asked = f"{field}{f'!{mark}' if mark else ''}{f':{of}' if of else ''}"
        known = (*FIELDS, *(f"{name}:FORMAT" for name in ARTIFACT_FIELDS))
        raise UnknownNameError(f"field of command {self.target}", asked, known)
