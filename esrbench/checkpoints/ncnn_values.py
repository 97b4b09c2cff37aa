"""Values that a network computes, numbered: equal values have equal numbers, however they were spelled.

Converters spell one network in many ways: a LeakyReLU is a layer or part of the convolution before it, ×0.2 and a sum
are two BinaryOps or one Eltwise, a pixel unshuffle is a Reorg or a stride. So values are compared instead of layers.
Layers with weights are told apart by their order.
"""

from collections.abc import Sequence

SLOPE = RESIDUAL = 0.2  # of every LeakyReLU; of every residual branch (arXiv:1809.00219, section 3.1)
DIGITS = 6  # that converters write of a factor

Value = int


class Values:
    """Expressions and their numbers. What changes nothing is left out, so that different spellings meet."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], Value] = {}
        self._expressions: list[tuple[object, ...]] = []
        self.weighted: list[Value] = []  # results of the layers with weights, in their order

    def afresh(self) -> "Values":
        """None yet, but numbered alike: equal values of both have equal numbers."""
        other = Values()
        other._numbers, other._expressions = self._numbers, self._expressions
        return other

    def picture(self) -> Value:
        """What the network is given."""
        return self._number("picture")

    def convolution(self, value: Value) -> Value:
        """The next layer with weights, a 3×3 convolution."""
        return self._next("convolution", value)

    def prelu(self, value: Value) -> Value:
        """The next layer with weights, a PReLU."""
        return self._next("PReLU", value)

    def leaky(self, value: Value) -> Value:
        """LeakyReLU of the one slope."""
        return self._number("leaky", value)

    def joined(self, values: Sequence[Value]) -> Value:
        """Values side by side, as channels."""
        return values[0] if len(values) == 1 else self._number("concat", *values)

    def total(self, *terms: tuple[Value, float]) -> Value:
        """A sum of values times factors, in any order."""
        plain = tuple(sorted(self._unscaled(value, factor) for value, factor in terms))
        return plain[0][0] if len(plain) == 1 and plain[0][1] == 1 else self._number("sum", plain)

    def resized(self, how: str, value: Value, factor: float) -> Value:
        """``how``: nearest or bicubic; or fold or shuffle, which move pixels to channels and back."""
        return value if factor == 1 else self._number(how, value, round(factor, DIGITS))

    def factors(self, how: str) -> list[float]:
        """The factors of all such resizes so far."""
        return [float(str(expression[2])) for expression in self._expressions if expression[0] == how]

    def _number(self, *expression: object) -> Value:
        if expression not in self._numbers:
            self._numbers[expression] = len(self._expressions)
            self._expressions.append(expression)
        return self._numbers[expression]

    def _next(self, kind: str, value: Value) -> Value:
        self.weighted.append(self._number(kind, len(self.weighted), value))
        return self.weighted[-1]

    def _unscaled(self, value: Value, factor: float) -> tuple[Value, float]:
        match self._expressions[value]:
            case ("sum", ((int(inner), float(scale)),)):
                return inner, round(factor * scale, DIGITS)
        return value, round(factor, DIGITS)
