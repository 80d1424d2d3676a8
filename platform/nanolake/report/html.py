"""One self-contained HTML file: no script, nothing fetched from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanolake.report import columns, evidence, numbers, words
from nanolake.report.answers import answers
from nanolake.report.content import Content
from nanolake.report.data import ReportData, ReportError
from nanolake.report.drawings import Drawing, drawings

TEMPLATE = "report.html.j2"
MOST_FAILURES = 200
"""Rows of the failure table in the page; ``failures.csv`` holds all."""


def build_report(data: ReportData, out: Path | str, *, figures_dir: Path | None = None) -> Path:
    """Write the report as one HTML file and return its path.

    Parameters
    ----------
    data
        What was found; see `ReportData`.
    out
        The HTML file; its folder is made where missing. An existing file is replaced.
    figures_dir
        Where given, each figure is also written there as a file (SVG and PNG; what is made of
        pixels as JPEG or PNG), and the tables as CSV: ``particles`` (the rows as handed over),
        ``ensemble``, ``groups`` (mean and sd of every feature), ``fits`` (normal and lognormal of
        every feature and group), ``batches``, ``group_shares``, ``excluded``, ``cost``,
        ``failures``.

    Raises
    ------
    ReportError
        A micrograph's labels do not fit its pixels, or ``out`` does not end in ``.html``.
    """
    target = Path(out)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ReportError(f"the report is an HTML file: give a name ending in .html, not {target}")
    content = Content(data)
    drawn = {drawing.name: drawing for drawing in drawings(content)}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_page(content, drawn), encoding="utf-8")
    if figures_dir is not None:
        _write_files(content, drawn, Path(figures_dir))
    return target


def _page(content: Content, drawn: dict[str, Drawing]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nanolake.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE)
    return page.render(**_of_particles(content), **_of_the_run(content, drawn)).lstrip()


def _of_particles(content: Content) -> dict[str, Any]:
    ensembles, every = content.ensembles, columns.every_quantity()
    heads, rows = words.group_cells(content.group_rows)
    other = tuple(item for item in every if item not in columns.QUANTITIES)
    return {
        "unit": content.unit,
        "empty": content.particles.empty,
        "summary": words.summary(content),
        "answers": answers(content),
        "size_note": words.size_note(content),
        "interval_note": words.interval_note(ensembles),
        "ensembles": [
            ("Weighted by number", words.ensemble_rows(ensembles, "number")),
            ("Weighted by area", words.ensemble_rows(ensembles, "area")),
        ],
        "pairs_of_batches": words.pair_rows(content.pairs),
        "pair_count": len(content.pairs),
        "group_heads": heads,
        "group_rows": rows,
        "group_note": words.group_note(content),
        "other_rows": words.group_cells(content.every_group_row, other)[1],
        "grouping": _grouping(content),
        "classifier": _classifier(content),
    }


def _of_the_run(content: Content, drawn: dict[str, Drawing]) -> dict[str, Any]:
    data = content.data
    failures = [] if data.failures is None else data.failures.to_dict("records")
    return {
        "data": data,
        "drawings": drawn,
        "overlays": [d for name, d in drawn.items() if name.startswith("overlay_")],
        "excluded": sorted(data.excluded.items(), key=lambda item: -item[1]),
        "failures": failures[:MOST_FAILURES],
        "failure_count": len(failures),
        "provenance": words.provenance_rows(data.provenance),
        "cost": words.cost_words(data.cost, len(content.particles)),
        "fixed": numbers.fixed,
    }


def _grouping(content: Content) -> dict[str, Any] | None:
    grouping = content.grouping
    if grouping is None:
        return None
    state, verdict = evidence.grouping_verdict(grouping)
    return {
        "state": state,
        "words": verdict,
        "reason": grouping.get("reason", ""),
        "pairs": evidence.grouping_pairs(grouping),
        "rest": words.rest(grouping, evidence.GROUPING_SHOWN),
    }


def _classifier(content: Content) -> dict[str, Any] | None:
    classifier = evidence.unpack(content.data.classifier)
    if classifier is None:
        return None
    return {
        "words": evidence.classifier_words(classifier),
        "pairs": evidence.classifier_pairs(classifier),
        "rest": words.rest(classifier, evidence.CLASSIFIER_SHOWN),
    }


def _write_files(content: Content, drawn: dict[str, Drawing], folder: Path) -> None:
    from nanolake.report.figures import to_png, to_svg

    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawn.values():
        figure, drawn_as_svg = drawing.figure, drawing.kind == "svg+xml"
        if figure is None:
            (folder / drawing.file_name).write_bytes(drawing.data)
            continue
        svg = drawing.data if drawn_as_svg else to_svg(figure)
        (folder / f"{drawing.name}.svg").write_bytes(svg)
        (folder / f"{drawing.name}.png").write_bytes(to_png(figure))
    for name, table in _tables(content).items():
        if table is not None and len(table.columns):
            table.to_csv(folder / f"{name}.csv", index=False)


def _tables(content: Content) -> dict[str, Any]:
    return {
        "particles": content.data.particles,
        "ensemble": content.ensembles,
        "groups": content.every_group_row,
        "fits": content.fits,
        "batches": content.pairs,
        "group_shares": content.shares if content.grouped else None,
        "excluded": content.data.losses,
        "cost": content.data.cost,
        "failures": content.data.failures,
    }
