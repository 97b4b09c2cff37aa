"""The pictures to look at: each target's output beside the input, the reference and an amplified difference."""

import base64
import io
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from esrbench import images
from esrbench.case_summary import CaseSummary
from esrbench.record import Case, Fidelity, Status, Workload
from esrbench.run_cases import launches_of
from esrbench.store import Run

Pixels = npt.NDArray[np.uint8]

WHOLE_PX = 512
"""A picture up to this side is shown whole, a larger one as a window: ten targets must still make a page."""

WINDOW_PX = 384

MOST_TIMES = 4
"""Of the pixels that there should be: another size is told, one that would fill the memory is not read."""

MAX_GAIN = 64


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the input that is shown, in input pixels."""

    y: int
    x: int
    height: int
    width: int


class TargetPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A target's output and its difference, as data URIs."""

    label: str
    status: str
    psnr_db: float | None
    output: str
    difference: str
    worst_steps: int | None  # largest difference in the window, in steps of 8 bits; None where sizes differ


class WorkloadPictures(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to see of one workload."""

    workload: Workload
    input: str
    reference: str
    gain: int  # the difference is drawn this many times as strong
    window: Window
    is_whole: bool
    aspect: str  # CSS: width / height
    targets: tuple[TargetPicture, ...]


def workload_pictures(run: Run, workload: Workload, rows: Sequence[CaseSummary]) -> WorkloadPictures | None:
    """The pictures of a workload, in the order of ``rows``; None where the run drew no reference.

    Raises:
        ImageError: a picture is there but cannot be read.
    """
    input_path, reference_path = run.input_picture(workload.id), run.reference_picture(workload.id)
    if input_path is None or reference_path is None:
        return None
    window = _window(run, workload)
    scale = run.record.model.spec.scale
    most_px = MOST_TIMES * workload.width_px * workload.height_px * scale**2
    reference = _cut(images.read_own(reference_path, most_px).rgb, window, scale)
    outputs = {
        row: _cut(images.read_own(path, most_px).rgb, window, scale)
        for row in rows
        if row.workload == workload.id and (path := run.picture(Case(target=row.target, workload=row.workload)))
    }
    gain = _gain([_worst(pixels, reference) for row, pixels in outputs.items() if row.status is Status.OK])
    return WorkloadPictures(
        workload=workload,
        input=data_uri(_cut(images.read_own(input_path, most_px).rgb, window, 1)),
        reference=data_uri(reference),
        gain=gain,
        window=window,
        is_whole=window.height == workload.height_px and window.width == workload.width_px,
        aspect=f"{window.width} / {window.height}",
        targets=tuple(_target_picture(row, pixels, reference, gain) for row, pixels in outputs.items()),
    )


def data_uri(pixels: Pixels) -> str:
    """``(H, W, 3)`` uint8 RGB as a lossless picture inside the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _target_picture(row: CaseSummary, output: Pixels, reference: Pixels, gain: int) -> TargetPicture:
    difference = _difference(output, reference)
    amplified = np.zeros_like(output) if difference is None else np.minimum(difference * gain, 255).astype(np.uint8)
    return TargetPicture(
        label=row.label,
        status=row.status_word,
        psnr_db=row.psnr_db,
        output=data_uri(output),
        difference=data_uri(amplified),
        worst_steps=_worst(output, reference),
    )


def _difference(output: Pixels, reference: Pixels) -> npt.NDArray[np.int32] | None:
    """Absolute difference in steps of 8 bits; None where the pictures have different sizes."""
    if output.shape != reference.shape:
        return None
    return np.abs(output.astype(np.int32) - reference.astype(np.int32))


def _worst(output: Pixels, reference: Pixels) -> int | None:
    difference = _difference(output, reference)
    return None if difference is None else int(difference.max(initial=0))


def _gain(worst: Sequence[int | None]) -> int:
    """Return the largest gain without saturation, a power of two."""
    largest = max((steps for steps in worst if steps is not None), default=0)
    gain = MAX_GAIN
    while gain > 1 and largest * gain > 255:
        gain //= 2
    return gain


def _window(run: Run, workload: Workload) -> Window:
    """The whole picture, or the part of a large one around the worst pixel of all targets that were compared."""
    scale = run.record.model.spec.scale
    height, width = workload.height_px, workload.width_px
    if max(height, width) * scale <= WHOLE_PX:
        return Window(y=0, x=0, height=height, width=width)
    side_y, side_x = min(WINDOW_PX // scale, height), min(WINDOW_PX // scale, width)
    y, x = _worst_place(run, workload)
    return Window(
        y=min(max(y // scale - side_y // 2, 0), height - side_y),
        x=min(max(x // scale - side_x // 2, 0), width - side_x),
        height=side_y,
        width=side_x,
    )


def _worst_place(run: Run, workload: Workload) -> tuple[int, int]:
    """Where the largest difference lies, in output pixels; the middle where nothing differs or was compared."""
    compared: list[Fidelity] = [
        launch.fidelity
        for case in run.record.cases
        if case.workload == workload.id
        for launch in launches_of(run, case)
        if launch.fidelity and launch.fidelity.worst_abs > 0
    ]
    scale = run.record.model.spec.scale
    middle = (workload.height_px * scale // 2, workload.width_px * scale // 2)
    return max(compared, key=lambda found: found.worst_abs).worst_yx if compared else middle


def _cut(pixels: Pixels, window: Window, scale: int) -> Pixels:
    top, left = window.y * scale, window.x * scale
    return pixels[top : top + window.height * scale, left : left + window.width * scale]
