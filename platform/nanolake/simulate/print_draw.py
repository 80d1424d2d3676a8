"""Random print as published panels carry it: letters, scale bars, strips, words, outlines."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanolake.simulate.stage_settings import Mark

LENGTHS = ("1", "2", "5", "10", "20", "25", "30", "35", "50", "100", "200", "250", "500", "0.2",
           "0.5", "1.0", "2.0", "0.25")  # fmt: skip
UNITS = ("nm", "nm", "nm", "nm", "µm", "um", "Å")
WORDS = ("SiO2", "TiO2", "pH 7", "Au", "Ag@Au", "Au NPs", "CdSe", "PTFE", "NaYF4", "Fe3O4", "t = 0",
         "24 h", "80 °C", "x 50k", "S-1", "sample 2", "HAADF", "BF", "CTAB", "d = 12 nm", "Pt/C",
         "MOF-5", "5 min", "after", "control", "Core/shell", "AuNR")  # fmt: skip
STRIP = ("HV=200kV", "Mag 50000x", "Print Mag: 126000x @ 7.0 in", "TEM Mode: Imaging",
         "HFW 320 nm", "Direct Mag: 80000x", "Camera: AMT", "12:07 03/06/12", "WD 8.1 mm",
         "spot 3.0", "Microscopy", "TECNAI F20", "Cal: 0.0021", "JEOL 2100", "Hitachi TEM system",
         "image_014.tif")  # fmt: skip


def draw_print(rng: np.random.Generator, *, polarity: str, side_px: int) -> tuple[Mark, ...]:
    """Return what is printed on one panel whose shorter side is ``side_px``: at least one mark.

    >>> marks = draw_print(np.random.default_rng(0), polarity="dark", side_px=512)
    >>> len(marks) >= 1
    True
    """
    drawn = _Press(rng, polarity, side_px)
    chances = {
        "bar": (0.8, drawn.bar),
        "letter": (0.65, drawn.letter),
        "words": (0.22, drawn.words),
        "strip": (0.1, drawn.strip),
        "margin": (0.12, drawn.margin),
        "outline": (0.1, drawn.outline),
        "inset": (0.05, drawn.inset),
    }
    marks: list[Mark] = []
    for chance, make in chances.values():
        if rng.random() < chance:
            marks += make()
    marks = _apart(marks or drawn.bar())
    return tuple(sorted(marks, key=lambda mark: mark.kind not in ("strip", "inset")))


def _apart(marks: list[Mark]) -> list[Mark]:
    """Keep one mark a corner, the first; two in the same place are rare in print."""
    kept: dict[object, Mark] = {}
    for number, mark in enumerate(marks):
        fixed = mark.kind in ("text", "bar", "inset")
        corner = (round(mark.place_y), round(mark.place_x)) if fixed else number
        kept.setdefault(corner, mark)
    return list(kept.values())


class _Press:
    """Draws marks in one style: ink, typeface and size are shared within a panel."""

    def __init__(self, rng: np.random.Generator, polarity: str, side_px: int) -> None:
        self.rng, self.side = rng, side_px
        self.dark_ink = bool(rng.random() < (0.1 if polarity == "bright" else 0.6))
        fonts = ["sans", "italic", "serif", "wide", "mono"]
        self.font = str(rng.choice(fonts, p=[0.42, 0.03, 0.38, 0.13, 0.04]))
        self.weight = int(rng.choice([300, 400, 500, 700, 900]))

    def part(self, low: float, high: float) -> int:
        """Return a length between two fractions of the picture's side, px."""
        return max(6, round(self.side * float(self.rng.uniform(low, high))))

    def colours(self) -> dict[str, Any]:
        """Return ink, and by chance a box behind or a contour around it."""
        rng = self.rng
        dark = self.dark_ink if rng.random() < 0.85 else not self.dark_ink
        ink, other = (0.0, 1.0) if dark else (1.0, 0.0)
        if rng.random() < 0.08:
            ink = float(rng.uniform(0.2, 0.8))
        kind = rng.random()
        if kind < 0.22:
            return {"ink": ink, "paper": other, "frame": bool(rng.random() < 0.15)}
        return {"ink": ink, "rim": other if kind < 0.28 else None}

    def bar(self) -> list[Mark]:
        rng = self.rng
        size = self.part(0.025, 0.09) if rng.random() < 0.85 else self.part(0.09, 0.18)
        gap = " " if rng.random() < 0.75 else ""
        words = f"{rng.choice(LENGTHS)}{gap}{rng.choice(UNITS)}" if rng.random() < 0.9 else ""
        right = 1.0 if rng.random() < 0.55 else 0.0
        mark = Mark(
            kind="bar",
            words=words,
            place_y=1.0 if rng.random() < 0.9 else 0.0,
            place_x=right if rng.random() < 0.93 else float(rng.random()),
            margin_px=int(rng.integers(0, max(1, self.side // 25))),
            size_px=size,
            length_px=self.part(0.08, 0.4),
            thick_px=max(1, round(size * float(np.exp(rng.uniform(np.log(0.06), np.log(0.6)))))),
            font=self.font,  # type: ignore[arg-type]
            weight=self.weight,
            words_at=rng.choice(["above", "above", "below", "right"]),
            ends=bool(rng.random() < 0.1),
            **self.colours(),
        )
        return [mark]

    def letter(self) -> list[Mark]:
        rng = self.rng
        letter = str(rng.choice(list("abcdefghijkABCDEFGHIJK")))
        letter += str(rng.choice(["", "", "", "1", "2", "3", "'"]))
        form = str(rng.choice(["{}", "({})", "{})", "({})", "{}."]))
        sizes = (0.04, 0.13) if rng.random() < 0.85 else (0.13, 0.25)
        return [self._text(form.format(letter), sizes, at_top_left=rng.random() < 0.8)]

    def words(self) -> list[Mark]:
        words = str(self.rng.choice(WORDS))
        if self.rng.random() < 0.2:
            words += "\n" + str(self.rng.choice(WORDS))
        sizes = (0.03, 0.1) if self.rng.random() < 0.6 else (0.1, 0.22)
        return [self._text(words, sizes, at_top_left=False)]

    def _text(self, words: str, sizes: tuple[float, float], at_top_left: bool) -> Mark:
        rng = self.rng
        place = (0.0, 0.0) if at_top_left else tuple(rng.integers(0, 2, 2).astype(float))
        if not at_top_left and rng.random() < 0.25:
            place = tuple(rng.random(2))
        return Mark(
            kind="text",
            words=words,
            place_y=place[0],
            place_x=place[1],
            margin_px=int(rng.integers(0, max(1, self.side // 30))),
            size_px=self.part(*sizes),
            font=self.font,  # type: ignore[arg-type]
            weight=self.weight,
            **self.colours(),
        )

    def strip(self) -> list[Mark]:
        """A microscope's data bar."""
        rng = self.rng
        lines = int(rng.choice([1, 1, 2, 3, 5]))
        rows = ["   ".join(rng.choice(STRIP, int(rng.integers(1, 4)))) for _ in range(lines)]
        dark = bool(rng.random() < 0.5)
        mark = Mark(
            kind="strip",
            words="\n".join(rows)[:120],
            side="bottom" if rng.random() < 0.9 else "top",
            size_px=round(self.part(0.025, 0.05) * (0.4 + 0.6 * lines)),
            length_px=self.part(0.08, 0.25),
            thick_px=int(rng.integers(1, 5)),
            ink=float(dark),
            paper=float(not dark),
            font=self.font,  # type: ignore[arg-type]
            weight=400,
        )
        return [mark]

    def margin(self) -> list[Mark]:
        """White or black lines along some sides: a panel cut out of its figure."""
        rng = self.rng
        paper = 1.0 if rng.random() < 0.75 else 0.0
        sides = rng.permutation(["top", "bottom", "left", "right"])[: rng.integers(1, 5)]
        return [
            Mark(kind="strip", side=side, paper=paper, size_px=int(rng.integers(6, 14)))
            for side in sides.tolist()
        ]

    def outline(self) -> list[Mark]:
        """Arrows, circles or boxes that point something out."""
        rng = self.rng
        kind = str(rng.choice(["arrow", "arrow", "ellipse", "rectangle", "line"]))
        return [self._outline(kind) for _ in range(int(rng.integers(1, 4)))]

    def _outline(self, kind: str) -> Mark:
        rng = self.rng
        size = self.part(0.05, 0.3)
        return Mark(
            kind=kind,  # type: ignore[arg-type]
            place_y=float(rng.random()),
            place_x=float(rng.random()),
            size_px=size,
            length_px=max(6, round(size * float(rng.uniform(0.7, 1.4)))),
            thick_px=int(rng.integers(1, 5)),
            angle_deg=float(rng.uniform(-180.0, 180.0)),
            ink=float(rng.random() < 0.6),
            dashed=bool(rng.random() < 0.3),
        )

    def inset(self) -> list[Mark]:
        rng = self.rng
        size = self.part(0.2, 0.4)
        mark = Mark(
            kind="inset",
            place_y=float(rng.integers(0, 2)),
            place_x=float(rng.integers(0, 2)),
            size_px=size,
            length_px=round(size * float(rng.uniform(0.8, 1.3))),
            thick_px=int(rng.integers(1, 4)),
            ink=float(rng.random() < 0.7),
            pattern=int(rng.integers(0, 100_000)),
        )
        return [mark]
