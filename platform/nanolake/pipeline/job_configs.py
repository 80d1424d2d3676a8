"""The settings files of the job scripts, written from the settings classes so that they agree.

``python -m nanolake.pipeline.job_configs jobs/configs`` writes them again.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanolake.settings import Settings

_WIDTH = 98


def kinds() -> Mapping[str, type[Settings]]:
    """Return the settings class of every job script, by the script's name."""
    from nanolake.classify import ClassifySettings
    from nanolake.ingest import IngestSettings
    from nanolake.pipeline.group import GroupJobSettings
    from nanolake.pipeline.job import DescribeJobSettings, PredictJobSettings, ReportJobSettings
    from nanolake.pipeline.run import RunSettings
    from nanolake.segment import SegmentSettings
    from nanolake.segment.learned.settings import SegmenterTrainSettings
    from nanolake.serve.settings import ServeSettings
    from nanolake.shape import ShapeTrainSettings

    return {
        "classify": ClassifySettings,
        "describe": DescribeJobSettings,
        "group": GroupJobSettings,
        "ingest": IngestSettings,
        "predict": PredictJobSettings,
        "report": ReportJobSettings,
        "run": RunSettings,
        "segment": SegmentSettings,
        "serve": ServeSettings,
        "train_segmenter": SegmenterTrainSettings,
        "train_shape": ShapeTrainSettings,
    }


def settings_yaml(name: str, kind: type[Settings]) -> str:
    """Return a YAML file with every setting of ``kind``, its meaning and its default."""
    head = (
        f"# Settings of jobs/{name}.py: every one, at its default. Copy this file, change it, and "
        "name it with --config; a setting that is left out keeps its default."
    )
    return (
        "\n".join([*textwrap.wrap(head, _WIDTH, subsequent_indent="# "), "", *_lines(kind)]) + "\n"
    )


def write_configs(folder: Path) -> None:
    """Write the settings file of every job script into ``folder``."""
    for name, kind in kinds().items():
        (folder / f"{name}.yaml").write_text(settings_yaml(name, kind), encoding="utf-8")


def _lines(kind: type[Settings], indent: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        mark = f"{indent}# "
        text = " ".join((field.description or "").replace("``", "").split())
        yield from textwrap.wrap(text, _WIDTH, initial_indent=mark, subsequent_indent=mark)
        value = field.get_default(call_default_factory=True)
        if isinstance(value, Settings):
            yield f"{indent}{name}:"
            yield from _lines(type(value), indent + "  ")
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    import yaml

    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=1000)
    return text.strip().removesuffix("...").strip()


if __name__ == "__main__":
    write_configs(Path(sys.argv[1]))
