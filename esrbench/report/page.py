"""``index.html``: one file that works offline, from one or several runs."""

import base64
import re
from collections.abc import Sequence

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from esrbench.artifact import Artifact
from esrbench.case_summary import CaseSummary, ranking, summarise
from esrbench.compare import answer, machine_name
from esrbench.fidelity import psnr_db
from esrbench.history import History
from esrbench.record import Attainable, Case, ReferenceCheck, RunRecord
from esrbench.report import page_style
from esrbench.report.charts import Chart
from esrbench.report.columns import Column, shown
from esrbench.report.environment_notes import passed_variables
from esrbench.report.findings import Gap, gaps, noise_notes
from esrbench.report.frontier_chart import CAPTION, TITLE
from esrbench.report.frontier_text import HEADS
from esrbench.report.history_chart import panel_title
from esrbench.report.history_text import last_change, notes
from esrbench.report.palette import runtime_colours
from esrbench.report.pictures import WorkloadPictures, workload_pictures
from esrbench.report.quiet import NoiseTable, noise_table
from esrbench.report.tunings import TuningRow, tuning_rows
from esrbench.roofline import ridge
from esrbench.run_cases import launches_of, main_workloads
from esrbench.runner import Placement
from esrbench.store import Run
from esrbench.wording import NOT_MEASURED, decibel, significant, visible

GENERATOR = "esrbench report"
"""What the page says made it: how a report of ours is told from any other folder."""


class DrawnChart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart as PNG bytes, for a light and for a dark page."""

    chart: Chart
    light: bytes
    dark: bytes


class DrawnFrontier(msgspec.Struct, frozen=True, kw_only=True):
    """A run's speed against memory as PNG bytes, and the fastest within each memory budget."""

    light: bytes
    dark: bytes
    rows: list[tuple[str, ...]]
    title: str = TITLE
    caption: str = CAPTION
    heads: tuple[str, ...] = HEADS


class DrawnHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A machine over time, and its chart as PNG bytes."""

    history: History
    light: bytes
    dark: bytes

    @property
    def notes(self) -> list[str]:
        """What changed between the runs, and how far to trust the last change, in words."""
        return list(notes(self.history))

    @property
    def newest(self) -> list[tuple[str, str]]:
        """Each target, and what the newest run makes of the one before."""
        return [(panel_title(series, self.history.series), last_change(series)) for series in self.history.series]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Where a target really ran, and on which artifact."""

    label: str
    placement: Placement
    artifact: Artifact | None


class Roof(msgspec.Struct, frozen=True, kw_only=True):
    """What a device reaches, and the arithmetic a byte from which on its memory no longer bounds."""

    attainable: Attainable
    ridge: float | None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as the template wants it."""

    run: Run
    answer: Markup
    columns: list[Column]
    rows: list[CaseSummary]
    charts: Sequence[DrawnChart]
    frontier: DrawnFrontier | None
    pictures: list[WorkloadPictures]
    gaps: list[Gap]
    notes: list[str]
    noise: NoiseTable | None
    proofs: list[Proof]
    tunings: list[TuningRow]
    machine: list[tuple[str, str]]
    reference_check: ReferenceCheck | None  # the worst, where the run went on
    roofs: list[Roof]


def page(
    runs: Sequence[Run],
    charts: Sequence[Sequence[DrawnChart]],
    over_time: Sequence[DrawnHistory] = (),
    frontiers: Sequence[DrawnFrontier | None] = (),
) -> str:
    """The page of ``runs``; ``charts`` and ``frontiers`` are those of each, ``over_time`` the machines of several."""
    environment = _environment()
    css, script = (_source(environment, name) for name in ("page.css", "page.js"))
    speed_by_memory = [*frontiers, *[None] * (len(runs) - len(frontiers))]
    sections = [_section(*each) for each in zip(runs, charts, speed_by_memory, strict=True)]
    colours = runtime_colours(case.target.runtime for run in runs for case in run.record.cases)
    style = css + page_style.rules(colours, [section.pictures for section in sections])
    return environment.get_template("page.html.j2").render(
        policy=page_style.policy(style, script),
        style=Markup(style),
        script=Markup(script),
        sections=sections,
        over_time=over_time,
        generator=GENERATOR,
        title=_title(runs),
        not_measured=NOT_MEASURED,
        runtimes=list(colours),
    )


def _environment() -> Environment:
    """Make a Jinja environment that escapes text and control characters."""
    environment = Environment(
        loader=PackageLoader("esrbench.report"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "png_uri": png_uri,
        "decibel": decibel,
        "psnr": lambda mse: decibel(psnr_db(mse)),
        "significant": significant,
    }
    return environment


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(environment: Environment, name: str) -> str:
    """Return a file beside the template, as it is."""
    if environment.loader is None:
        raise LookupError(name)
    return environment.loader.get_source(environment, name)[0]


def png_uri(png: bytes) -> str:
    """PNG bytes as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _title(runs: Sequence[Run]) -> str:
    models = dict.fromkeys(run.record.model.name for run in runs)
    return f"{', '.join(models)} · {', '.join(run.name for run in runs)}"


def _section(run: Run, charts: Sequence[DrawnChart], frontier: DrawnFrontier | None) -> Section:
    rows = ranking(summarise(run))
    drawn = [workload_pictures(run, workload, rows) for workload in main_workloads(run)]
    return Section(
        run=run,
        answer=_marked_up(answer(run), machine_name(run.record.environment)),
        columns=shown(rows),
        rows=rows,
        charts=charts,
        frontier=frontier,
        pictures=[pictures for pictures in drawn if pictures],
        gaps=gaps(rows),
        notes=noise_notes(run, rows),
        noise=noise_table(run),
        proofs=[proof for row in rows if (proof := _proof(run, row))],
        tunings=tuning_rows(run),
        machine=_machine(run.record),
        reference_check=_reference_check(run),
        roofs=[Roof(attainable=each, ridge=ridge(each)) for each in run.record.attainable],
    )


def _marked_up(text: str, isolated: str) -> Markup:
    """Convert a sentence to escaped HTML; backticks become code."""
    apart = str(escape(visible(isolated)))
    found = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(visible(text))))
    return Markup(found.replace(apart, f"<bdi>{apart}</bdi>", 1))


def _proof(run: Run, row: CaseSummary) -> Proof | None:
    launches = launches_of(run, Case(target=row.target, workload=row.workload))
    found = next((launch for launch in launches if launch.placement), None)
    if found is None or found.placement is None:
        return None
    return Proof(label=row.label, placement=found.placement, artifact=found.artifact)


def _reference_check(run: Run) -> ReferenceCheck | None:
    found = [launch.reference_check for launch in run.launches if launch.reference_check]
    return max(found, key=lambda check: check.mse, default=None)


def _machine(record: RunRecord) -> list[tuple[str, str]]:
    facts = record.environment
    return [
        ("processor", facts.cpu),
        ("instruction sets", ", ".join(facts.cpu_features) or "none that matter here"),
        ("cores", f"{facts.usable_cores} usable of {facts.cpu_cores}"),
        ("memory", f"{facts.memory_bytes / 1e9:.1f} GB"),
        ("graphics devices", ", ".join(facts.gpus) or "none found"),
        ("operating system", facts.os),
        ("Python", facts.python),
        ("frequency governor", facts.governor or "not known"),
        ("virtualisation", facts.virtual or "not known"),
        ("environment variables", passed_variables(record)),
    ]
