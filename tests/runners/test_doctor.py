import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from esrbench import plugins, probe
from esrbench.cli import app, doctor
from esrbench.probe import BrokenRuntime, Probed
from esrbench.runner import Availability
from esrbench.target import Target
from esrbench.testing import write_distribution

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "adding-a-runner.md"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The runner of docs/adding-a-runner.md, installed as a distribution of its own."""
    page = PAGE.read_text(encoding="utf-8")
    (tmp_path / "esrbench_onnxref.py").write_text(block(page, "python"), encoding="utf-8")
    project = tomllib.loads(block(page, "toml"))["project"]
    write_distribution(tmp_path, project["name"], project["entry-points"])
    return tmp_path


def block(page: str, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


def run(site: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | variables | {"PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, env=environment, check=False
    )


def test_doctor_finds_a_plugin_of_another_distribution_and_reports_a_broken_one(site: Path) -> None:
    write_distribution(site, "broken-plugin", {"esrbench.runners": {"odd": "no_such_module:Runner"}})
    done = run(site, "esrbench", "doctor", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    targets = {entry["target"]: entry for entry in said["targets"]}
    assert targets["onnxref@cpu:fp32"]["usable"]
    assert targets["torch@cpu:fp32"]["usable"]
    (broken,) = said["broken_plugins"]
    assert broken["distribution"] == "broken-plugin"
    assert "no_such_module" in broken["reason"]
    assert [runtime["name"] for runtime in said["broken_runtimes"]] == ["odd"]


@pytest.mark.slow
def test_the_runner_on_the_page_passes_the_contract_test(site: Path, artifact_cache: Path) -> None:
    contract = str(REPOSITORY / "tests" / "runners" / "test_contract.py")
    command = ["pytest", contract, "-q", "-k", "onnxref", "-p", "no:cacheprovider", "--rootdir", str(REPOSITORY)]
    done = run(site, *command, ESRBENCH_TEST_ARTIFACTS=str(artifact_cache))
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= 8


USABLE = Availability(target=Target("torch@cpu:fp32"), usable=True, device_name="A CPU")
REFUSED = Availability(target=Target("torch@cuda:fp16"), usable=False, reason="no GPU [here]", remedy="buy one")
CRASHED = BrokenRuntime(name="ncnn", reason="it crashed", remedy="reinstall ncnn")


def invoke(monkeypatch: pytest.MonkeyPatch, probed: Probed, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(probe, "ask", lambda: probed)
    monkeypatch.setattr(plugins, "broken", tuple)
    monkeypatch.setenv("COLUMNS", "120")
    assert doctor.app is app
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.output


def test_doctor_says_what_is_usable_and_why_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = invoke(monkeypatch, Probed(targets=(USABLE, REFUSED), broken=(CRASHED,)))
    assert code == 0
    assert re.search(r"torch@cpu:fp32 +yes +A CPU", output)
    assert re.search(r"torch@cuda:fp16 +no +no GPU \[here\] +buy one", output)
    assert "1 of 2 targets can run here" in output
    assert "runtime ncnn: it crashed; reinstall ncnn" in output


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_doctor_ends_with_3_where_nothing_is_usable(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    assert invoke(monkeypatch, Probed(targets=(REFUSED,), broken=()), *arguments)[0] == 3
