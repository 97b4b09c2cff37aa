"""ONNX Runtime's CPU provider: the session's settings that matter for convolutions."""

from typing import Any

from esrbench.errors import EsrbenchError
from esrbench.settings import DEFAULT, Settings

PROVIDER = "CPUExecutionProvider"

CANDIDATES = (
    DEFAULT,
    Settings(values={"session.intra_op.allow_spinning": "0"}),
    Settings(values={"graph_optimization_level": "ORT_ENABLE_EXTENDED"}),
)
"""Idle threads that sleep; and planes in the place of blocks of channels (NCHWc), which the highest level makes."""

_SWITCHES = ("enable_cpu_mem_arena", "enable_mem_pattern")


def apply(settings: Settings, options: Any, runtime: Any) -> None:
    """Set them in ``SessionOptions``; a dotted name is a session configuration entry.

    Raises:
        EsrbenchError: no such setting.
    """
    for name, text in settings.values.items():
        if "." in name:
            options.add_session_config_entry(name, text)
        elif name == "graph_optimization_level" and hasattr(runtime.GraphOptimizationLevel, text):
            options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, text)
        elif name in _SWITCHES and text in {"0", "1"}:
            setattr(options, name, text == "1")
        else:
            raise EsrbenchError(f"onnxruntime has no setting {name}={text} on the CPU")
