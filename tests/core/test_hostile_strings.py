"""Strings of records that would be obeyed: by a terminal, by Markdown and GitHub, by a spreadsheet, by a browser."""

import base64
import csv
import hashlib
import html
import io
import json
import re
from pathlib import Path

import msgspec
import pytest
from markdown_it import MarkdownIt
from recorded import TORCH, environment, failed, launch, write_run
from rich.progress import Progress
from typer.testing import CliRunner

from esrbench.cli import app, main, report  # noqa: F401  (the command)
from esrbench.cli.console import Console
from esrbench.cli.output import say, say_json
from esrbench.cli.progress import watching
from esrbench.codec import encode
from esrbench.record import Status
from esrbench.report.escape import cell, code, escaped, marked_up
from esrbench.report.page import page
from esrbench.report.summary import summary_csv, summary_md
from esrbench.store import Run
from esrbench.wording import clipped, visible

ESCAPES = "\x1b]0;pwned\x07 \x1b]52;c;cHduZWQ=\x07 \x9b31m \x7f \b\r \u202ecod.exe \u2066 \u200b \ud800"
MARKUP = (
    "![pixel](http://evil.example/x.png) @maintainer <script>alert(1)</script> `tick` | cell **b** _i_ ~~s~~ $x$ "
    "[a](javascript:alert(1)) https://evil.example www.evil.example a@evil.example owner/name#1 #2 GH-3 &amp; &lt;b&gt;"
)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff]")


def rendered_md(text: str) -> str:
    """As GitHub reads it, but for its links of plain addresses and names, which take a server."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


@pytest.fixture
def hostile(tmp_path: Path) -> Run:
    """Every free string of a record says the same."""
    nasty = f"=1+1 {MARKUP} {ESCAPES[:-2]}"
    machine = msgspec.structs.replace(environment([nasty]), cpu=nasty, os=nasty)
    launches = [launch(TORCH), failed("ncnn@cpu:fp32", Status.ERROR, nasty, nasty)]
    return write_run(tmp_path / "run", launches, machine=machine, notes=[nasty])


def test_what_a_terminal_would_obey_is_shown_as_one_sign_each() -> None:
    assert visible("a\x1b[31m\x7f\u202eb") == "a␛[31m␡\ufffdb"
    assert visible("ü 4× – 日本\n\tx\u00a0y") == "ü 4× – 日本\n\tx\u00a0y"
    assert not OBEYED.search(visible(ESCAPES))


def test_every_way_to_the_terminal_shows_escapes_instead_of_sending_them(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    console.print(ESCAPES, markup=False)
    Progress(console=console).add_task(ESCAPES)
    with watching(console) as progress:
        progress.starting(ESCAPES, 3, None)
        progress.note(f"[link=http://evil.example]{ESCAPES}")
    shown = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert "]0;pwned" in shown
    assert "\x1b]" not in shown
    assert not re.search("[\x07\x7f-\x9f\u202e\u2066]", shown)
    say(ESCAPES)
    say(ESCAPES, error=True)
    assert not OBEYED.search("".join(capsys.readouterr()))


def test_json_keeps_its_meaning_and_has_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{ESCAPES[:-2]}\U000e0041"
    say_json(encode({"a": text}))
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": text}
    assert not OBEYED.search(printed)
    assert "\U000e0041" not in printed


def test_the_report_of_a_hostile_record_sends_the_terminal_nothing(hostile: Run, tmp_path: Path) -> None:
    for extra in ([], ["--json"]):
        result = CliRunner().invoke(app, ["report", str(hostile.folder), "--out", str(tmp_path / "out"), *extra])
        assert result.exit_code == 0
        assert "pwned" in result.output
        assert not OBEYED.search(result.output)


def test_an_error_shows_what_stands_in_a_file_name(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["esrbench", "report", "/no/\x1b]0;pwned\x07folder"])
    with pytest.raises(SystemExit):
        main()
    found = capsys.readouterr().err
    assert "pwned" in found
    assert not OBEYED.search(found)


def test_markdown_of_a_record_has_no_link_no_picture_and_no_tag(hostile: Run) -> None:
    text = summary_md([hostile])
    rendered = rendered_md(text)
    assert set(re.findall(r"<(\w+)", rendered)) <= {
        *("p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code", "strong", "details", "summary", "sub")
    }
    assert "alert(1)" in rendered  # it is shown
    assert not re.search(r"(?<![\w])@\w|\w@[\w-]+\.|://|(?<!&)#\d|\bGH-\d|www\.", text)
    assert not OBEYED.search(text)


@pytest.mark.parametrize(
    "text", ["- item", "+ item", "1. item", "# head", "> quote", "===", "---", "* item", "```", "~~~", "| a | b |"]
)
def test_no_text_begins_a_block_of_markdown(text: str) -> None:
    rendered = rendered_md(escaped(text))
    assert re.fullmatch(r"<p>[^<]*</p>\n", rendered)
    assert re.fullmatch(r"<ul>\n<li>[^<]*</li>\n</ul>\n", rendered_md(f"- {escaped(text)}"))


def test_a_name_in_backticks_is_code_whatever_it_contains() -> None:
    assert code("a`b|c\x1b") == "`a'b\\|c␛`"
    assert marked_up("on (A|MD) `torch@cpu:fp32` is *it*") == "on (A\\|MD) `torch@cpu:fp32` is \\*it\\*"


def test_honest_text_reads_as_it_did() -> None:
    for text in ("torch@cpu:fp32", "1.5 GB of RAM", "-5.6% (-6.9 to -4.3)", "6.86× (3.78–12.5)", "Intel(R) Xeon(R)"):
        assert escaped(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "\n=1"])
def test_no_text_is_a_formula_of_a_spreadsheet(text: str) -> None:
    assert cell(text).startswith("'")


def test_a_csv_of_hostile_reasons_has_no_formula_and_its_numbers_stay_numbers(hostile: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(summary_csv([hostile]))))
    assert rows[1]["reason"].startswith("'=1+1")
    assert float(rows[0]["throughput_mpix_s"]) > 0
    assert not OBEYED.search(summary_csv([hostile]))


@pytest.fixture
def opened(hostile: Run) -> str:
    """The page of the hostile run, its pictures left out."""
    return page([hostile], [[]])


def test_the_page_allows_its_own_style_and_script_by_their_digests_and_nothing_else(opened: str) -> None:
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', opened)[0])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", opened, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"<[^>]*\s(style|on\w+)=", opened)  # such attributes have no digest
    assert opened.index("Content-Security-Policy") < opened.index("<style>")


def test_the_page_isolates_what_runs_from_right_to_left_and_shows_marks_that_would_reorder_it(tmp_path: Path) -> None:
    hebrew = "\u05e2\u05d1\u05e8\u05d9\u05ea"
    machine = msgspec.structs.replace(environment(), cpu=f"{hebrew}\u202e", os=hebrew)
    text = page([write_run(tmp_path / "run", [launch(TORCH)], machine=machine)], [[]])
    assert f"(<bdi>{hebrew}\ufffd, 2 cores</bdi>)" in text
    assert f"<dd>{hebrew}</dd>" in text  # a block is isolated by itself
    assert not OBEYED.search(text)


def test_a_title_of_a_chart_is_cut_and_has_no_control() -> None:
    assert clipped("a" * 200) == f"{'a' * 89}…"
    assert clipped("a\x1b\nb") == "a␛ b"
