"""A program that enlarges a picture, or fails as it is told: ``enlarge.py WHAT IN.png OUT.png SCALE``."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image

FILTERS = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
BLOCK, BLOCKS = 1 << 26, 64  # 4 GiB at most, where no limit ends it
CHILD = "import sys; held = bytearray(200_000_000); print('held', flush=True); sys.stdin.read()"


def main() -> None:
    """Draw, or fail."""
    what, source, place, scale = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    picture = Image.open(source)
    width, height = picture.width * scale, picture.height * scale
    sys.stdout.write(f"reading {source.name}\n")
    sys.stdout.flush()
    match what:
        case "silent":
            return
        case "fail":
            sys.exit("the network could not be found")
        case "out-of-memory":
            sys.exit("vkAllocateMemory failed -2")
        case "devour":
            held = [b"x" * BLOCK for _ in range(BLOCKS)]
            sys.exit(f"nobody minded {len(held) * BLOCK} bytes")
        case "kill":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            threading.Event().wait()
        case "garbage":
            place.write_bytes(b"no picture")
        case "half":
            picture.resize((width // 2, height // 2)).save(place)
        case "black":
            Image.new("RGB", (width, height)).save(place)
        case "child":
            with subprocess.Popen([sys.executable, "-c", CHILD], stdin=-1, stdout=-1) as child:
                child.stdout.readline()
                picture.resize((width, height), FILTERS["nearest"]).save(place)
        case _:
            picture.resize((width, height), FILTERS[what]).save(place)


if __name__ == "__main__":
    main()
