"""Provide the console of every command, safe for foreign text."""

from collections.abc import Iterable

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from esrbench.wording import visible


class Console(rich.console.Console):
    """Print as rich does, with control characters made visible.

    A record's text cannot move the cursor, set the title or fill the clipboard.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; rich's own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
