"""Text from records, made safe for Markdown."""

import html


def escaped(text: str) -> str:
    """Text that neither Markdown's table nor its inline HTML takes for its own."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
