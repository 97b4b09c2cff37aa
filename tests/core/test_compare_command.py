"""`esrbench compare` as its user calls it: tables, exit codes, the comment, the JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from recorded import TORCH, failed, rewritten
from sides import QUIET, changed, run_of, scaled
from typer.testing import CliRunner

import esrbench.cli.compare  # noqa: F401  (registers the command)
from esrbench.cli import app, exit_code
from esrbench.errors import EsrbenchError, UsageError
from esrbench.record import Status

FAST, NCNN = "openvino@cpu:fp32", "ncnn@cpu:fp32"

Compare = Callable[..., Result]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Call the command with a base, a head with a slower and a vanished target, and `other`, on another machine."""
    run_of(tmp_path / "base", {TORCH: QUIET, FAST: scaled(QUIET, 0.5), NCNN: scaled(QUIET, 0.6)})
    lost = [failed(NCNN, Status.CRASHED, "killed by | SIGSEGV")]
    run_of(tmp_path / "head", {TORCH: scaled(QUIET, 1.0), FAST: scaled(QUIET, 0.55)}, from_minute=30, extra=lost)
    other = run_of(tmp_path / "other", {TORCH: QUIET})
    rewritten(changed(other, environment={"cpu": "Intel Xeon"}))

    def call(*arguments: str) -> Result:
        given = [
            str(tmp_path / text) if text in {"base", "head", "other", "comment.md"} else text for text in arguments
        ]
        return CliRunner().invoke(app, ["compare", *given], env={"COLUMNS": "80"})

    return call


def test_two_runs_are_compared_in_a_table_worst_first_that_fits_a_terminal(compare: Compare) -> None:
    done = compare("base", "head")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    begin = next(place for place, line in enumerate(lines) if line.startswith("case")) + 1
    rows = {line.split()[0]: line for line in lines[begin : begin + 3]}
    assert list(rows) == [NCNN, FAST, TORCH]
    assert "vanished" in rows[NCNN]
    assert "-9.1% (-" in rows[FAST]
    assert "unclear" in rows[TORCH]  # of two cases of which one moved, either or the machine may have
    assert f"{NCNN}: ok → crashed: killed by | SIGSEGV" in done.stdout


def test_in_a_narrow_terminal_the_interval_takes_two_lines_and_no_name_does(tmp_path: Path) -> None:
    name = "onnxruntime-tensorrt@cuda12:fp16"
    for run, minute in (("before", 0), ("after", 30)):
        run_of(tmp_path / run, {TORCH: QUIET, name: [1.0, 1.3, 0.8, 1.1]}, from_minute=minute)
    done = CliRunner().invoke(
        app, ["compare", str(tmp_path / "before"), str(tmp_path / "after")], env={"COLUMNS": "80"}
    )
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"{name} ") for line in lines)


def test_what_changed_as_all_others_did_is_unclear_and_says_by_how_much_it_differs(tmp_path: Path) -> None:
    for name, factor, minute in (("before", 1.0, 0), ("after", 1.1, 30)):
        run_of(tmp_path / name, {TORCH: scaled(QUIET, factor), FAST: scaled(QUIET, factor / 2)}, from_minute=minute)
    done = CliRunner().invoke(
        app, ["compare", str(tmp_path / "before"), str(tmp_path / "after"), "--fail-on", "slower"]
    )
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert f"changed as the others did, by the machine or by what they share; against the others: {TORCH} +0.0%" in text


def test_a_gate_that_does_not_hold_is_exit_code_one_and_says_why(compare: Compare) -> None:
    done = compare("base", "head", "--fail-on", "slower:3%")
    assert done.exit_code == 1
    assert f"esrbench: {FAST}: slower: its speed changed by -9.1%" in done.stderr
    assert f"esrbench: {NCNN}: vanished: it was measured in the base" in done.stderr
    assert compare("base", "head", "--fail-on", "wrong").exit_code == 0


def test_the_comment_is_a_table_that_github_reads(compare: Compare, tmp_path: Path) -> None:
    assert compare("base", "head", "--fail-on", "slower", "--markdown", "comment.md").exit_code == 1
    text = (tmp_path / "comment.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 5
    assert {line.replace("\\|", "").count("|") for line in table} == {7}
    assert text.index("**Fails:**") < text.index("| case |")
    assert f"- `{FAST}` slower: its speed changed by -9.1%" in text
    assert "killed by \\| SIGSEGV" in text


def test_the_json_is_one_document_with_the_failures(compare: Compare) -> None:
    done = compare("base", "head", "--json", "--fail-on", "vanished")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [row["presence"] for row in found["comparison"]["rows"]] == ["both", "both", "vanished"]
    assert found["comparison"]["rows"][1]["judgement"]["verdict"] == "slower"
    assert [(each["kind"], each["name"]) for each in found["failures"]] == [("vanished", NCNN)]


def test_one_run_is_compared_by_target_and_from_any_base(compare: Compare) -> None:
    done = compare("base")
    assert done.exit_code == 0
    assert "base by target, throughput of the whole plan, paired within rounds: 2 faster." in done.stdout
    assert "2 slower" in compare("base", "--against", FAST, "--of", "target").stdout


def test_another_machine_is_refused_as_bad_usage_unless_it_is_allowed(compare: Compare) -> None:
    refused = compare("base", "other")
    assert isinstance(refused.exception, UsageError)
    assert exit_code(refused.exception) == 2
    assert "machine: processor: AMD EPYC | Intel Xeon" in str(refused.exception)
    for allowed in ("machine", "all"):
        done = compare("base", "other", "--allow", allowed)
        assert done.exit_code == 0
        assert "unlike by leave: machine: processor: AMD EPYC | Intel Xeon" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base", "head", "--of", "target"], "are for the cases of one run"),
        (["base", "--of", "colour"], "no axis is named 'colour'"),
        (["base", "head", "--worth", "3"], "'3' is not a percentage"),
        (["base", "head", "--allow", "luck"], "no kind of difference is named 'luck'"),
        (["base", "head", "--fail-on", "slow"], "did you mean 'slower'"),
        (["base", "head", "--boundary", "disk"], "no boundary is named 'disk'"),
        (["base", "head", "--markdown", "no/such/folder.md"], "cannot be written"),
        (["base", "nothing"], "holds no readable run"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(compare: Compare, arguments: list[str], message: str) -> None:
    done = compare(*arguments)
    assert isinstance(done.exception, EsrbenchError), done.output
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("pair", "rounds", "slower"),
    [
        ("ci-slower-head-epyc-zen4-2-cores", 22, ["onnxruntime@cpu:fp32"]),
        ("ci-equal-head-epyc-zen4-2-cores", 20, []),
    ],
)
def test_the_recorded_bench_ci_job_of_a_slower_head_fails_naming_its_target_and_that_of_equal_code_passes(
    pair: str, rounds: int, slower: list[str]
) -> None:
    folder = Path(__file__).parents[2] / "results" / "curated" / pair
    gates = [word for gate in ("slower:3%", "memory:10%", "size:1%", "nodes", "rounds") for word in ("--fail-on", gate)]
    done = CliRunner().invoke(app, ["compare", str(folder / "base"), str(folder / "head"), "--json", *gates])
    assert done.exit_code == bool(slower), done.output
    found = json.loads(done.stdout)
    assert found["comparison"]["paired"]
    assert [row["judgement"]["ratio"]["rounds"] for row in found["comparison"]["rows"]] == [rounds] * 5
    assert [(each["kind"], each["name"]) for each in found["failures"]] == [("slower", name) for name in slower]
