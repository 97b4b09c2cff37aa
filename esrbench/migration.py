"""Records of older schema versions in today's form: what they do not hold is None, and nothing is made up."""

from typing import Any

from esrbench.record import SCHEMA_VERSION

OLDEST = 1


def to_current(raw: dict[str, Any], version: int) -> dict[str, Any]:
    """``raw``, a run, launch or end as decoded from JSON, in the form of :data:`SCHEMA_VERSION`."""
    if version < 2:
        raw = _from_1(raw)
    # Version 3 added digests and took nothing away: what it added is None in what older versions wrote.
    return raw | {"schema_version": SCHEMA_VERSION}


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one list of warm-up runs, whatever their batch, and did not say how the warm-up ended.

    What came with version 2 has a default that means "not recorded".
    """
    samples = raw.get("samples")
    if not isinstance(samples, dict) or "warmup_ns" not in samples:
        return raw  # nothing was measured; or it is no such record, as whoever decodes it says
    times_ns = samples["warmup_ns"]
    kept = {name: value for name, value in samples.items() if name != "warmup_ns"}
    warmups = [{"tiles": None, "times_ns": times_ns, "steady": None}] if times_ns else []
    return raw | {"samples": kept | {"warmups": warmups}}
