"""ncnn's ``.param`` and ``.bin``, written straight from the weights: no torch, no converter.

The layers are those of the official files, so the result loads wherever those do: blobs ``data`` and ``output``,
LeakyReLU fused into Convolution, residuals as Eltwise. A pixel unshuffle becomes part of the first convolution.
Layer parameters: https://github.com/Tencent/ncnn/wiki/operation-param-weight-table
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import NCNN
from esrbench.errors import ExportError
from esrbench.exporter import ExportedFiles, Exporter, ExportOptions, Model, artifact_stem, check_options
from esrbench.folding import fold
from esrbench.target import Precision
from esrbench.wording import counted
from esrbench_exporters.ncnn_names import scale_read, tools_name

INPUT, OUTPUT = "data", "output"
MAGIC = "7767517"
FP16_TAG, FP32_TAG = 0x01306B47, 0
LEAKY = "9=2 -23310=1,2.000000e-01"  # fused activation 2 (LeakyReLU), its one parameter 0.2
RESIDUAL = "0=1 -23301=2,2.000000e-01,1.000000e+00"  # sum, weighted 0.2 and 1


class NcnnExporter(Exporter):
    """``NAME.param`` and ``NAME.bin``, weights in fp16 or fp32; biases and slopes are always fp32."""

    format = NCNN
    precisions = frozenset({Precision.FP32, Precision.FP16})
    proved_by = ("ncnn",)

    def versions(self) -> dict[str, str]:
        """None: no library decides a byte."""
        return {}

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Write both files in one pass over the layers."""
        check_options(self, options)
        stem = artifact_stem(msgspec.structs.replace(model, name=tools_name(model.name, model.spec.scale)), options)
        param, weights = out_dir / f"{stem}.param", out_dir / f"{stem}.bin"
        with weights.open("wb") as file:
            graph = _Graph(model, file, half=options.precision is Precision.FP16)
            _rrdbnet(graph, model.spec) if isinstance(model.spec, RRDBNetSpec) else _srvggnet(graph, model.spec)
        param.write_text(graph.text(), encoding="ascii", newline="\n")
        chosen = {"input": INPUT, "output": OUTPUT, "weights": options.precision.value}
        return ExportedFiles(
            paths=(param, weights), options=chosen, versions=self.versions(), notes=tuple(_notes(model, stem))
        )


def _notes(model: Model, stem: str) -> Iterator[str]:
    """Name the tools' limits with this file."""
    channels, scale = (model.spec.in_channels, model.spec.out_channels), model.spec.scale
    if channels != (3, 3):
        yield (
            f"takes {counted(channels[0], 'channel')} and makes {channels[1]}; realesrgan-ncnn-vulkan and Upscayl feed "
            "every network RGB pictures and cannot use it"
        )
    if scale_read(stem) != scale:
        yield f"no name tells Upscayl a scale of {scale}: it would draw as if it were {scale_read(stem)}"


def _rrdbnet(graph: "_Graph", spec: RRDBNetSpec) -> None:
    first = graph.convolution("conv_first", graph.input(), unshuffle=spec.unshuffle)
    x = first
    for block in range(spec.blocks):
        before = x
        for dense in (1, 2, 3):
            x = _dense_block(graph, f"body.{block}.rdb{dense}", x)
        x = graph.layer("Eltwise", f"body.{block}.add", [x, before], RESIDUAL)
    x = graph.layer("BinaryOp", "add", [first, graph.convolution("conv_body", x)])
    for name in spec.upsamplers:
        x = graph.convolution(name, graph.enlarge(f"{name}.nearest", x, 2), LEAKY)
    x = graph.convolution("conv_hr", x, LEAKY)
    graph.convolution("conv_last", x, output=OUTPUT)


def _dense_block(graph: "_Graph", name: str, x: str) -> str:
    seen = [x]
    for conv in (1, 2, 3, 4):
        seen.append(graph.convolution(f"{name}.conv{conv}", graph.concat(f"{name}.cat{conv}", seen), LEAKY))
    last = graph.convolution(f"{name}.conv5", graph.concat(f"{name}.cat5", seen))
    return graph.layer("Eltwise", f"{name}.add", [last, x], RESIDUAL)


def _srvggnet(graph: "_Graph", spec: SRVGGNetSpec) -> None:
    data = graph.input()
    x = data
    for index in range(spec.convs + 1):
        x = graph.prelu(f"body.{2 * index + 1}", graph.convolution(f"body.{2 * index}", x))
    x = graph.convolution(f"body.{2 * spec.convs + 2}", x)
    x = graph.layer("PixelShuffle", "shuffle", [x], f"0={spec.drawn_scale}")
    reduction = spec.scale / spec.drawn_scale
    drawn = OUTPUT if reduction == 1 else "add"
    graph.layer("BinaryOp", "add", [x, graph.enlarge("nearest", data, spec.drawn_scale)], output=drawn)
    if reduction != 1:
        graph.layer("Interp", "reduction", [drawn], f"0=3 1={reduction:e} 2={reduction:e}", output=OUTPUT)


class _Layer(msgspec.Struct, frozen=True):
    kind: str
    name: str
    inputs: list[str]
    output: str
    parameters: str


class _Graph:
    """Layers in the order of their making; their weights go to ``file`` in the same order."""

    def __init__(self, model: Model, file: BinaryIO, *, half: bool) -> None:
        self.weights, self.file, self.half = model.weights, file, half
        self.layers: list[_Layer] = []

    def layer(self, kind: str, name: str, inputs: list[str], parameters: str = "", output: str | None = None) -> str:
        """Append a layer; returns its output blob."""
        blob = output or name
        self.layers.append(_Layer(kind, name, inputs, blob, parameters))
        return blob

    def input(self) -> str:
        """The picture: RGB, planar, in [0, 1]."""
        return self.layer("Input", INPUT, [])

    def concat(self, name: str, blobs: list[str]) -> str:
        """Along channels; one blob needs no layer."""
        return self.layer("Concat", name, list(blobs)) if len(blobs) > 1 else blobs[0]

    def enlarge(self, name: str, blob: str, factor: int) -> str:
        """Nearest-neighbour enlargement."""
        return self.layer("Interp", name, [blob], f"0=1 1={factor:e} 2={factor:e}")

    def prelu(self, name: str, blob: str) -> str:
        """PReLU with a slope for each channel, which are stored without a tag."""
        slopes = self.weights[f"{name}.weight"]
        self.file.write(slopes.astype("<f4").tobytes())
        return self.layer("PReLU", name, [blob], f"0={slopes.size}")

    def convolution(
        self, name: str, blob: str, activation: str = "", *, unshuffle: int = 1, output: str | None = None
    ) -> str:
        """A 3×3 convolution with bias; with ``unshuffle`` s > 1 a 3s×3s one of stride s."""
        weight = self.weights[f"{name}.weight"]
        if unshuffle > 1:
            weight = fold(weight, unshuffle)
        self._write_kernel(name, weight)
        self.file.write(self.weights[f"{name}.bias"].astype("<f4").tobytes())
        stride = f"3={unshuffle} " if unshuffle > 1 else ""
        shape = f"0={weight.shape[0]} 1={weight.shape[2]} {stride}4={unshuffle} 5=1 6={weight.size}"
        return self.layer("Convolution", name, [blob], f"{shape} {activation}".strip(), output)

    def text(self) -> str:
        """The ``.param`` file. ncnn wants every blob read once: one that is read more often passes a Split layer."""
        readers = Counter(blob for layer in self.layers for blob in layer.inputs)
        left = readers.copy()
        lines: list[str] = []
        for layer in self.layers:
            lines.append(_line(layer, [_copy(blob, readers, left) for blob in layer.inputs], [layer.output]))
            count = readers[layer.output]
            if count > 1:
                split = _Layer("Split", f"{layer.output}.split", [layer.output], "", "")
                lines.append(_line(split, split.inputs, [f"{layer.output}.{index}" for index in range(count)]))
        blobs = sum(count + 1 if count > 1 else 1 for count in (readers[layer.output] for layer in self.layers))
        return "\n".join([MAGIC, f"{len(lines)} {blobs}", *lines, ""])

    def _write_kernel(self, name: str, weight: npt.NDArray[np.float32]) -> None:
        if not self.half:
            self.file.write(FP32_TAG.to_bytes(4, "little") + weight.astype("<f4").tobytes())
            return
        if np.abs(weight).max() > np.finfo(np.float16).max:
            raise ExportError(f"{name} holds weights beyond fp16's 65504; export fp32")
        halves = weight.astype("<f2").tobytes()
        self.file.write(FP16_TAG.to_bytes(4, "little") + halves + bytes(-len(halves) % 4))


def _copy(blob: str, readers: Counter[str], left: Counter[str]) -> str:
    """The copy of ``blob`` for its next reader; the last copy is read first, as ncnn's own tools do."""
    if readers[blob] == 1:
        return blob
    left[blob] -= 1
    return f"{blob}.{left[blob]}"


def _line(layer: _Layer, inputs: list[str], outputs: list[str]) -> str:
    blobs = " ".join([*inputs, *outputs, layer.parameters]).strip()
    return f"{layer.kind:<24} {layer.name:<24} {len(inputs)} {len(outputs)} {blobs}"
