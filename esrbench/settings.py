"""Settings of a runtime: what changes how fast it draws a picture, and not which one."""

from collections.abc import Mapping

import msgspec

from esrbench.codec import Value


class Settings(Value, frozen=True, kw_only=True):
    """Name → text, in the runtime's own words. None at all: as the runner sets them by itself."""

    values: dict[str, str] = msgspec.field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(frozenset(self.values.items()))

    @classmethod
    def of(cls, values: Mapping[str, object]) -> "Settings":
        """Settings with every value as text."""
        return cls(values={name: str(value) for name, value in values.items()})

    def over(self, defaults: Mapping[str, str]) -> dict[str, str]:
        """``defaults``, with what is set here in their place."""
        return {**defaults, **self.values}

    @property
    def text(self) -> str:
        """``graph=1, nhwc=0``; ``default`` where nothing is set."""
        return ", ".join(f"{name}={value}" for name, value in sorted(self.values.items())) or "default"


DEFAULT = Settings()
