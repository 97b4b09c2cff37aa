"""How values and their dimensions are called in ONNX files."""

from esrbench.artifact import Interface

VALUES = {Interface.FLOAT: ("input", "output"), Interface.IMAGE: ("image", "upscaled")}
"""Input and output."""

DIMENSIONS = {
    Interface.FLOAT: {0: "batch", 2: "height", 3: "width"},
    Interface.IMAGE: {0: "batch", 1: "height", 2: "width"},
}
"""Of the input, where any size will do: place → name."""
