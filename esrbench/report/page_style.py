"""Write the page's CSS rules and content security policy."""

import base64
import hashlib
from collections.abc import Mapping, Sequence

from esrbench.report.pictures import WorkloadPictures


def policy(style: str, script: str) -> str:
    """Return the content security policy of a page.

    It allows this one style, this one script and pictures within the page. Should a record's text ever become markup,
    it loads, sends and runs nothing (https://www.w3.org/TR/CSP3/).
    """
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:"
    return f"{nothing}; style-src {_digest(style)}; script-src {_digest(script)}"


def rules(colours: Mapping[str, str], pictures: Sequence[Sequence[WorkloadPictures]]) -> str:
    """Return the rules for runtimes and for each run's pictures.

    A runtime is told by its place, as its name may be no CSS. Inputs and references are there once each, however many
    targets show them.
    """
    dots = "".join(f".dot-{place}{{background:{colour}}}\n" for place, colour in enumerate(colours.values()))
    return dots + "".join(
        f'.input-{number}-{place}{{background-image:url("{drawn.input}")}}\n'
        f'.reference-{number}-{place}{{background-image:url("{drawn.reference}")}}\n'
        f".strip-{number}-{place}{{--aspect:{drawn.aspect}}}\n"
        for number, run in enumerate(pictures, start=1)
        for place, drawn in enumerate(run, start=1)
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
