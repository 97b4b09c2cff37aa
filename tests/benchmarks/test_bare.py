"""No session is shown to cost more than 3 % of what a bare script needs for the same tile with the same library.

Few pairs, for a gate: it fails where even the lower end of the interval is beyond 3 %. `beside_bare.py` asks for
more: the upper end within 3 %.
"""

import pytest
from beside_bare import SCRIPTS, WITHIN, compared

from esrbench.probe import availabilities

USABLE = {entry.target for entry in availabilities() if entry.usable}


@pytest.mark.weights
@pytest.mark.parametrize("target", SCRIPTS)
@pytest.mark.benchmark(group="beside a bare script")
def test_a_session_is_within_three_per_cent_of_a_bare_script(benchmark, target):
    if target not in USABLE:
        pytest.skip(f"{target} cannot run here")
    found = benchmark.pedantic(compared, args=(target,), rounds=1)
    benchmark.extra_info |= {"target": target, "ratio": found.value, "low": found.low, "high": found.high}
    assert found.low is not None
    assert found.low <= WITHIN
