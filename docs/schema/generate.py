"""Write the JSON Schema of every file under ``results/`` beside this script: ``make schema``."""

import json
from pathlib import Path

from esrbench.codec import schema
from esrbench.record import LaunchRecord, Resumption, RunEnd, RunRecord, TuningRecord

FILES = {
    "run.schema.json": RunRecord,
    "launch.schema.json": LaunchRecord,
    "end.schema.json": RunEnd,  # interrupted.NNNN.json too
    "tuning.schema.json": TuningRecord,
    "resumed.schema.json": Resumption,
}


def generated() -> dict[str, str]:
    """File name → its text."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {
        name: json.dumps(dialect | schema(type_), indent=2, ensure_ascii=False) + "\n" for name, type_ in FILES.items()
    }


if __name__ == "__main__":
    for name, text in generated().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")
