"""AOTInductor packages: the network compiled for one machine's CPU, called without Python's help."""

import warnings
from pathlib import Path

from esrbench import cpp_compiler
from esrbench.artifact import AOTINDUCTOR
from esrbench.exporter import (
    ExportedFiles,
    Exporter,
    ExportOptions,
    Model,
    artifact_stem,
    check_options,
    library_versions,
)
from esrbench.processor import cpu_name
from esrbench.target import Precision
from esrbench_exporters.graph_shape import check_sides


class AotInductorExporter(Exporter):
    """``NAME.aot.pt2``: weights packed for the CPU at compile time, for its instruction sets and this torch."""

    format = AOTINDUCTOR
    precisions = frozenset({Precision.FP32, Precision.BF16})
    proved_by = ("aotinductor",)
    takes = frozenset({"shape"})
    portable = False

    def versions(self) -> dict[str, str]:
        """Of torch and of the processor: another one wants another package."""
        return library_versions("torch") | {"cpu": cpu_name()}

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Trace, generate C++, compile."""
        check_options(self, options)
        check_sides(model, options)
        compiler = cpp_compiler.find("aotinductor")
        import torch  # noqa: PLC0415

        from esrbench_exporters.traced_program import traced  # noqa: PLC0415

        path = out_dir / f"{artifact_stem(model, options)}.aot.pt2"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations
            torch._inductor.aoti_compile_and_package(
                traced(model, options), package_path=str(path), inductor_configs={"freezing": True}
            )
        chosen = {
            "device": "cpu",
            "cpu": cpu_name(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "compiler": compiler,
            "freezing": "yes",
        }
        return ExportedFiles(paths=(path,), options=chosen, versions=self.versions())
