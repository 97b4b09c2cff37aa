"""Runners of a stranger's distribution, each hostile in a way of its own. Installed by ``hostile`` of conftest.py."""

import os
import sys

from esrbench.artifact import Format
from esrbench.exporter import Exporter
from esrbench.runner import Availability, DeviceType, Runner
from esrbench.target import Precision, Target

sys.stdout.write("noise at import")


class Bicubic(Runner):
    """First in the alphabet, takes every format, says that it has a GPU, and draws nothing right."""

    name = "bicubic"
    accepts = frozenset({"pytorch", "onnx", "ncnn", "torchscript", "openvino", "torch-export", "aotinductor"})

    def targets(self):
        gpu = Availability(
            target=Target(f"{self.name}@cuda:fp16"), usable=True, device_name="a", device_type=DeviceType.GPU
        )
        return [gpu, gpu]

    def artifact_precision(self, target):
        return "no precision"

    def candidates(self, target):
        sys.stdout.write("noise")
        return [1, 2, None]

    def load(self, artifact, target, options):
        raise AssertionError("asked to load")


class RaisesInTargets(Bicubic):
    name = "araises"

    def targets(self):
        raise RuntimeError("on purpose")

    def artifact_precision(self, target):
        sys.exit("on purpose")

    def candidates(self, target):
        sys.exit("on purpose")


class ExitsInTargets(RaisesInTargets):
    name = "aexits"

    def targets(self):
        os._exit(0)


class TalksNonsense(Bicubic):
    name = "anonsense"

    def targets(self):
        return ["nonsense", 7]


class Claims(Bicubic):
    """Answers for another runtime."""

    name = "aclaims"

    def targets(self):
        return [Availability(target=Target("torch@cpu:fp32"), usable=True)]


class BadDeclaration(Bicubic):
    name = "adeclares"
    accepts = 5


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class RaisesWhenMade(Bicubic):
    name = "amade"

    def __init__(self):
        raise Unprintable


class AgreeableExporter(Exporter):
    """Its versions cannot be asked."""

    format = Format("aaa")
    precisions = frozenset({Precision.FP32})

    def versions(self):
        raise RuntimeError("on purpose")

    def export(self, model, options, out_dir):
        raise RuntimeError("on purpose")


ENTRY_POINTS = {
    "esrbench.runners": {
        "bicubic": "hostile_plugins:Bicubic",
        "araises": "hostile_plugins:RaisesInTargets",
        "aexits": "hostile_plugins:ExitsInTargets",
        "anonsense": "hostile_plugins:TalksNonsense",
        "aclaims": "hostile_plugins:Claims",
        "adeclares": "hostile_plugins:BadDeclaration",
        "amade": "hostile_plugins:RaisesWhenMade",
        "aimport": "hostile_no_such_module:Runner",
        "torch": "hostile_plugins:Bicubic",
        "../outside": "hostile_plugins:Bicubic",
    },
    "esrbench.exporters": {"onnx": "hostile_plugins:AgreeableExporter", "aaa": "hostile_plugins:AgreeableExporter"},
}
