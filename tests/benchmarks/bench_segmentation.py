"""Score the segmentation methods on hand-labelled and simulated pictures; write the page.

Run from the repository's root: ``python tests/benchmarks/bench_segmentation.py [--every N]
[--only speed,emps,labels,catalysts,simulated] [--methods threshold,…]``. Only a run of all
writes ``results/segmentation.md``. The hand-labelled pictures are in ``../shared/data``, for
scoring only: nothing was trained on them, and no weights were chosen by them. A few constants (the
rules of `threshold`, the decoding of `learned`) were chosen with the panels' scores in view.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from segmentation_cases import Choice
from segmentation_hand import catalysts, panels
from segmentation_labels import hand_outlines
from segmentation_simulated import agglomeration, size_bias
from segmentation_speed import REPEATS, speed

from nanolake.segment.run import METHODS

HERE = Path(__file__).resolve()
RESULTS = HERE.parent / "results" / "segmentation.md"
SECTIONS: dict[str, Callable[[Choice], str]] = {
    "speed": lambda choice: speed(choice.methods, REPEATS if choice.every == 1 else 1),
    "emps": panels,
    "labels": hand_outlines,
    "catalysts": catalysts,
    "simulated": lambda choice: agglomeration(choice) + "\n\n" + size_bias(choice),
}
"""In the order in which they run: speed first, while nothing else does."""


def main() -> None:
    """Print each section as it is done; write them all after a run of everything."""
    options = _options()
    choice = Choice(methods=options.methods, every=options.every, workers=options.workers)
    texts = {}
    for name in options.only:
        texts[name] = SECTIONS[name](choice)
        print(f"\n{texts[name]}\n", flush=True)
    if options.every == 1 and set(texts) == set(SECTIONS) and set(choice.methods) == set(METHODS):
        RESULTS.write_text(_page([texts[name] for name in SECTIONS]), encoding="utf-8")
        print(f"written: {RESULTS}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only each N-th picture")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--only", type=_names_of(SECTIONS), default=tuple(SECTIONS),
                        help="sections, with commas: " + ", ".join(SECTIONS))  # fmt: skip
    parser.add_argument("--methods", type=_names_of(METHODS), default=tuple(METHODS),
                        help="methods, with commas: " + ", ".join(METHODS))  # fmt: skip
    return parser.parse_args()


def _names_of(known: Mapping[str, object]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        asked = tuple(text.split(","))
        for name in asked:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return asked

    return names


def _page(sections: list[str]) -> str:
    notes = (HERE.parent / "segmentation_notes.md").read_text(encoding="utf-8")
    return (
        "# Segmentation\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), load "
        f"{os.getloadavg()[0]:.1f} at the end, one thread a picture but for the section on one "
        "picture. By `bench_segmentation.py`. F1, precision and recall of all particles together, "
        "border particles neither rewarded nor punished; size bias: median of found over true "
        "equivalent diameter of the pairs that match at 0.5, minus 1.\n\n"
        + "\n\n".join([*sections, notes])
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
