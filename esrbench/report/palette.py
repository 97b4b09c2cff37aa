"""Colours: one a runtime, the same in every chart, told apart by colour-blind readers too."""

from collections.abc import Iterable

import msgspec

# Okabe & Ito, "Color universal design" (2008): https://jfly.uni-koeln.de/color/
VERMILION, ORANGE, BLUE, GREEN, PURPLE, SKY, YELLOW = (
    "#D55E00",
    "#E69F00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
KNOWN = {"torch": VERMILION, "torchscript": ORANGE, "onnxruntime": BLUE, "ncnn": GREEN, "openvino": PURPLE}
SPARE = (SKY, YELLOW, "#8C8C8C")


class Theme(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart is drawn on and with; ``suffix`` marks its file."""

    suffix: str
    background: str
    text: str
    faint: str
    grid: str


LIGHT = Theme(suffix="", background="#ffffff", text="#1c1f24", faint="#5d6570", grid="#e3e6ea")
DARK = Theme(suffix="-dark", background="#15181d", text="#e8eaee", faint="#a3abb6", grid="#2d333b")


def runtime_colours(runtimes: Iterable[str]) -> dict[str, str]:
    """Runtime → colour. A plug-in's runtime gets a spare one, by name; grey once those run out."""
    others = sorted(set(runtimes) - KNOWN.keys())
    spare = dict(zip(others, SPARE, strict=False))
    return KNOWN | {name: spare.get(name, SPARE[-1]) for name in others}
