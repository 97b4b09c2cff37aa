"""What a graph of one shape must heed."""

from esrbench.errors import UsageError
from esrbench.exporter import ExportOptions, Model


def check_sides(model: Model, options: ExportOptions, remedy: str = "ask for such a --shape") -> None:
    """Refuse one shape whose sides the network cannot fold.

    Raises:
        UsageError: with the multiple.
    """
    if options.shape is None or not any(side % model.spec.unshuffle for side in options.shape[1:]):
        return
    height, width = options.shape[1:]
    raise UsageError(
        f"{model.name} needs sides that {model.spec.unshuffle} divides, {height}×{width} was asked for; {remedy}"
    )
