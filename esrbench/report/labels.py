"""Names beside the points of a scatter chart, moved apart where they would lie on each other."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from esrbench.report.palette import Theme

GAP_PT = 9.0
LINE_PT = 12.5
MAX_LINES = 12


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point in data coordinates, and its name."""

    x: float
    y: float
    text: str


class _Offset(msgspec.Struct, frozen=True, kw_only=True):
    """Where a name goes: which side of its point, and how many lines up."""

    on_left: bool
    lines_up: int


def label_points(axis: Axes, points: Sequence[Point], theme: Theme, unnamed: Sequence[Point] = ()) -> None:
    """Write each name beside its point: on the roomier side, higher or lower where another one is in the way.

    The ``unnamed`` are in the way too, without a name of their own.
    """
    figure = axis.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()  # settles the layout: positions in pixels are now those of the final picture
    middle = sum(axis.get_xlim()) / 2
    markers = [_marker_box(axis, point, figure.dpi) for point in points]
    taken = [*markers, *(_marker_box(axis, point, figure.dpi) for point in unnamed)]
    for point in sorted(points, key=lambda point: (-point.y, point.x)):
        prefer_left = point.x > middle
        places = ((offset, _extent(axis, point, offset)) for offset in _offsets(prefer_left=prefer_left))
        own = _marker_box(axis, point, figure.dpi)
        others = [marker for marker in markers if not marker.contains(*_centre(own))]
        free = (
            (offset, box)
            for offset, box in places
            if _fits(box, axis.get_window_extent(), taken) and not _crosses(own, box, offset, others)
        )
        beside = _Offset(on_left=prefer_left, lines_up=0)  # no room anywhere: better over another name than left out
        offset, box = next(free, (beside, _extent(axis, point, beside)))
        _write(axis, point, offset, theme)
        taken.append(box)


def _offsets(*, prefer_left: bool) -> Iterator[_Offset]:
    """Nearest first: beside the point, then a line higher, a line lower, and so on, either side."""
    lines = [0, *itertools.chain.from_iterable((line, -line) for line in range(1, MAX_LINES + 1))]
    return (_Offset(on_left=left, lines_up=line) for line in lines for left in (prefer_left, not prefer_left))


def _write(axis: Axes, point: Point, offset: _Offset, theme: Theme) -> None:
    line = {
        "arrowstyle": "-",
        "color": theme.faint,
        "linewidth": 0.7,
        "relpos": (1.0 if offset.on_left else 0.0, 0.5),
        "shrinkA": 0,
        "shrinkB": 4,
    }
    _annotate(axis, point, offset, color=theme.text, arrowprops=line if offset.lines_up else None)


def _annotate(axis: Axes, point: Point, offset: _Offset, **style: Any) -> Annotation:
    gap = GAP_PT * (1.0 if offset.lines_up == 0 else 1.8)
    return axis.annotate(
        point.text,
        (point.x, point.y),
        xytext=(-gap if offset.on_left else gap, offset.lines_up * LINE_PT),
        textcoords="offset points",
        ha="right" if offset.on_left else "left",
        va="center",
        fontsize=9,
        **style,
    )


def _extent(axis: Axes, point: Point, offset: _Offset) -> Bbox:
    """The box of the text alone, in pixels: a line to its point would count as part of it."""
    name = _annotate(axis, point, offset)
    box = name.get_window_extent()
    name.remove()
    return box


def _fits(box: Bbox, room: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
    return inside and not any(box.overlaps(other) for other in taken)


def _crosses(own: Bbox, name: Bbox, offset: _Offset, others: Sequence[Bbox]) -> bool:
    """Whether the line from a point to its name would run over another point: it would seem to be that one's."""
    if offset.lines_up == 0:
        return False
    (x0, y0), (_, y1) = _centre(own), _centre(name)
    x1 = name.x1 if offset.on_left else name.x0
    steps = [step / 16 for step in range(17)]
    return any(other.contains(x0 + (x1 - x0) * step, y0 + (y1 - y0) * step) for other in others for step in steps)


def _centre(box: Bbox) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _marker_box(axis: Axes, point: Point, dpi: float) -> Bbox:
    x, y = axis.transData.transform((point.x, point.y))
    half = 4.5 * dpi / 72
    return Bbox.from_extents(x - half, y - half, x + half, y + half)
