"""Names beside the points of a scatter chart, moved apart where they would lie on each other."""

import itertools
from collections.abc import Iterator, Sequence

import msgspec
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text
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


def label_points(axis: Axes, points: Sequence[Point], theme: Theme) -> None:
    """Write each name beside its point: on the roomier side, higher or lower where another one is in the way."""
    canvas = axis.figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        raise TypeError("labels are measured in pixels: the figure needs an Agg canvas")
    canvas.draw()  # settles the layout: positions in pixels are now those of the final picture
    room = axis.get_window_extent()
    middle = sum(axis.get_xlim()) / 2
    taken = [_marker_box(axis, point) for point in points]
    for point in sorted(points, key=lambda point: (-point.y, point.x)):
        for offset in _offsets(prefer_left=point.x > middle):
            name = _write(axis, point, offset, theme)
            box = _extent(name, canvas)
            if room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and not _touches(box, taken):
                break
            name.remove()
        else:  # no room anywhere: better over another name than left out
            box = _extent(_write(axis, point, _Offset(on_left=point.x > middle, lines_up=0), theme), canvas)
        taken.append(box)


def _offsets(*, prefer_left: bool) -> Iterator[_Offset]:
    """Nearest first: beside the point, then a line higher, a line lower, and so on, either side."""
    lines = [0, *itertools.chain.from_iterable((line, -line) for line in range(1, MAX_LINES + 1))]
    return (_Offset(on_left=left, lines_up=line) for line in lines for left in (prefer_left, not prefer_left))


def _write(axis: Axes, point: Point, offset: _Offset, theme: Theme) -> Annotation:
    gap = GAP_PT * (1.0 if offset.lines_up == 0 else 1.8)
    line = {
        "arrowstyle": "-",
        "color": theme.faint,
        "linewidth": 0.7,
        "relpos": (1.0 if offset.on_left else 0.0, 0.5),
        "shrinkA": 0,
        "shrinkB": 4,
    }
    return axis.annotate(
        point.text,
        (point.x, point.y),
        xytext=(-gap if offset.on_left else gap, offset.lines_up * LINE_PT),
        textcoords="offset points",
        ha="right" if offset.on_left else "left",
        va="center",
        fontsize=9,
        color=theme.text,
        arrowprops=line if offset.lines_up else None,
    )


def _extent(name: Annotation, canvas: FigureCanvasAgg) -> Bbox:
    """The box of the text alone: the annotation's own extent would include its line."""
    renderer = canvas.get_renderer()
    name.update_positions(renderer)
    return Text.get_window_extent(name, renderer)


def _touches(box: Bbox, taken: Sequence[Bbox]) -> bool:
    return any(box.overlaps(other) for other in taken)


def _marker_box(axis: Axes, point: Point) -> Bbox:
    x, y = axis.transData.transform((point.x, point.y))
    half = 4.5 * axis.figure.dpi / 72
    return Bbox.from_extents(x - half, y - half, x + half, y + half)
