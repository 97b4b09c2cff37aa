"""Name NCNN files so that tools read the right scale."""

import re

VIDEO = "realesr-animevideov3"
"""realesrgan-ncnn-vulkan and Upscayl look for it under a name with its scale (``main.cpp`` of either)."""

SCALES = (1, 2, 3, 4, 8, 16)
"""Those that Upscayl reads, in the order in which it looks for them."""

GUESSED = 4
"""What a name without a scale is taken for."""


def tools_name(name: str, scale: int) -> str:
    """Name a model so that tools read ``scale`` from it.

    Its own name is kept where that will do; else the scale is added. Where the name itself holds what is taken for
    another scale, as ``AnimeMix2_4x`` does, it is taken apart.
    """
    apart = re.sub(r"(?i)(?<=\d)(?=x)|(?<=x)(?=\d)", "_", name)
    marked = [f"{stem}-{mark}" for stem in (name, apart) for mark in (f"x{scale}", f"{scale}x")]
    unreadable = name if f"x{scale}" in name else marked[0]
    return next((each for each in (name, *marked) if each != VIDEO and _is_right(each, scale)), unreadable)


def scale_read(name: str) -> int:
    """Read a scale as ``upscayl-bin`` does.

    It takes the first mark found, in this case alone (``main.cpp`` of upscayl-ncnn).
    """
    return next((scale for scale in SCALES if f"x{scale}" in name or f"{scale}x" in name), GUESSED)


def _is_right(name: str, scale: int) -> bool:
    """Tell whether both parts of Upscayl read ``scale``.

    Its window (``getModelScale``) knows 2, 3 and 4 alone.
    """
    small = name.lower()
    shown = next((each for each in (2, 3) if f"x{each}" in small or f"{each}x" in small), GUESSED)
    return scale_read(name) == scale and shown == (scale if scale in (2, 3) else GUESSED)
