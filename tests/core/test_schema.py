"""The published JSON Schema is the one that the code reads and writes."""

import importlib.util
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "schema"


def test_the_published_schema_is_current():
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, text in generate.generated().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} is stale: run `make schema`"
