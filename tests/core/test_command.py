"""A command line as a suite names it, and as a launch calls it."""

import sys
from pathlib import Path

import pytest

from esrbench import command_target, suite
from esrbench.command import Command
from esrbench.errors import UnknownNameError, UsageError
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision, Target

TEMPLATE = "mine -i {input} -o {output}"
VALUES = {"input": "/in a/x.png", "output": "y.png", "scale": "4"}
LLVMPIPE = Availability(
    target=Target("ncnn@vulkan:fp32"), usable=True, device_name="llvmpipe", device_type=DeviceType.SOFTWARE
)


def command(template: str = TEMPLATE, **fields: object) -> Command:
    return Command(name="mine", command=template, **fields)  # type: ignore[arg-type]


def test_a_command_is_read_from_one_line() -> None:
    made = Command.parse(f"mine@vulkan1:fp16={TEMPLATE} -x a=b")
    assert made.target == "mine@vulkan1:fp16"
    assert (made.command, made.software) == (f"{TEMPLATE} -x a=b", False)


def test_a_software_device_is_said_as_it_is_shown() -> None:
    made = Command.parse(f"mine@vulkan:fp16 (software)={TEMPLATE}")
    assert (made.target, made.software) == ("mine@vulkan:fp16", True)


def test_its_words_are_split_before_values_are_filled_in() -> None:
    made = command("'my tool' -i {input} --out={output} -s {scale}x '{{literal}}'")
    assert made.program == "my tool"
    assert made.argv(VALUES) == ["my tool", "-i", "/in a/x.png", "--out=y.png", "-s", "4x", "{literal}"]


def test_the_export_that_it_wants_follows_from_its_fields() -> None:
    assert command().format is None
    made = command(f"{TEMPLATE} -m {{artifact_folder:ncnn}} -n {{artifact_name:ncnn}}", precision=Precision.FP16)
    assert made.format == "ncnn"
    assert command_target.artifact_of(made) == ("ncnn", Precision.FP16)
    assert command_target.artifact_of(command(f"{TEMPLATE} {{artifact:ncnn}}", precision=Precision.BF16)) == (
        "ncnn",
        Precision.FP32,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine@cpu:fp32", "not of the form NAME@DEVICE:PRECISION=COMMAND"),
        (f"mine={TEMPLATE}", "RUNTIME@DEVICE:PRECISION"),
        (f"Mine@cpu:fp32={TEMPLATE}", "RUNTIME@DEVICE:PRECISION"),
        ("mine@cpu:fp32=", "is empty"),
        ("mine@cpu:fp32=mine {input}", r"lacks \{output\}"),
        ("mine@cpu:fp32=mine {output}", r"lacks \{input\}"),
        ("mine@cpu:fp32=mine {inptu} {output}", "did you mean 'input'"),
        ("mine@cpu:fp32=mine {input!r} {output}", "'input!r'"),
        ("mine@cpu:fp32=mine {input:04} {output}", "'input:04'"),
        ("mine@cpu:fp32=mine {} {output}", "known: artifact:FORMAT"),
        ("mine@cpu:fp32=mine '{input} {output}", "No closing quotation"),
        ("mine@cpu:fp32=mine {input {output}", "cannot be read"),
        ("mine@cpu:fp32=mine {artifact} {input} {output}", "artifact:FORMAT"),
        (f"mine@cpu:fp32={TEMPLATE} {{artifact:ncnn}} {{artifact:onnx}}", "several formats: ncnn, onnx"),
    ],
)
def test_a_command_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Command.parse(text)


def test_a_negative_border_is_refused() -> None:
    with pytest.raises(UsageError, match="border_px -1"):
        command(border_px=-1)


def test_the_name_of_an_installed_runtime_is_refused() -> None:
    with pytest.raises(UsageError, match="the runtime 'torch' is installed"):
        command_target.check(Command(name="torch", command=TEMPLATE))


def test_a_format_that_nothing_writes_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ncnn'"):
        command_target.check(command(f"{TEMPLATE} {{artifact:ncn}}"))


def test_a_program_that_is_not_found_is_unavailable_and_the_nearest_is_named(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "realesrgan-ncnn-vulkan"
    tool.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = command_target.availability(command("realesrgan-ncn-vulkan {input} {output}"), [])
    assert (found.usable, found.reason) == (False, "no program 'realesrgan-ncn-vulkan' is found")
    assert (found.remedy or "").startswith("did you mean 'realesrgan-ncnn-vulkan'? install it")


def test_a_program_is_found_by_its_name_and_called_by_its_path(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "mine"
    tool.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    known = command_target.availability(command(device="vulkan"), [])
    assert (known.usable, known.device_type) == (True, DeviceType.GPU)
    located = command_target.locate(command(device="vulkan"), known)
    assert (located.program, located.device_name) == (str(tool), command_target.UNTOLD)


def test_a_device_that_a_runtime_knows_to_be_software_is_not_believed_to_be_a_gpu() -> None:
    template = f"{Path(sys.executable).as_posix()} {{input}} {{output}}"
    claimed = [
        command_target.availability(command(template, device=device), [LLVMPIPE])
        for device in ("vulkan", "vulkan1", "cpu")
    ]
    assert [each.device_type for each in claimed] == [DeviceType.SOFTWARE, DeviceType.GPU, DeviceType.CPU]
    assert claimed[0].device_name == "llvmpipe, as ncnn names it"
    assert claimed[2].device_name == cpu_name()


def test_commands_of_a_suite_are_measured_unless_targets_are_named_without_them() -> None:
    both = (command(), command(precision=Precision.FP16))
    own = suite.override(suite.load("quick"), suite.Overrides(commands=both))
    assert own.commands == both
    narrowed = suite.override(own, suite.Overrides(targets=("torch@cpu:fp32", "mine@cpu:fp16")))
    assert [each.target for each in narrowed.commands] == ["mine@cpu:fp16"]
    added = suite.override(own, suite.Overrides(targets=("torch@cpu:fp32",), commands=both[:1]))
    assert added.commands == both[:1]


def test_a_suite_that_names_a_command_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="names a command twice: mine@cpu:fp32"):
        suite.override(suite.load("quick"), suite.Overrides(commands=(command(), command())))


def test_a_command_is_read_from_a_suite_file(tmp_path) -> None:
    file = tmp_path / "tools.toml"
    file.write_text(
        'name = "tools"\nmodel = "m.pth"\n[[workloads]]\nimage = "coffee"\ntile = 64\nhalo = 8\n'
        '[[commands]]\nname = "mine"\ndevice = "vulkan"\nprecision = "fp16"\nsoftware = true\nborder_px = 8\n'
        f'command = "{TEMPLATE}"\nenvironment = {{ A = "b" }}\n'
    )
    (read,) = suite.load(str(file)).commands
    assert read == command(
        device="vulkan", precision=Precision.FP16, software=True, border_px=8, environment={"A": "b"}
    )
