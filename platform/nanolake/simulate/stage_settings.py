"""What stands behind and before the particles: supports under them, print over them. Light."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nanolake.settings import Settings

SupportKind = Literal[
    "clumps",
    "grains",
    "granular",
    "lacey",
    "sheets",
    "fibres",
    "edge",
    "grid_bar",
    "aperture",
    "stain",
    "ring",
    "dirt",
    "graphite",
    "blotches",
]
MarkKind = Literal["text", "bar", "strip", "inset", "rectangle", "ellipse", "line", "arrow"]
Font = Literal["sans", "italic", "serif", "wide", "mono"]
Side = Literal["top", "bottom", "left", "right"]
WordsAt = Literal["above", "below", "right"]


class Support(Settings):
    """One thing in the film's plane that is no particle. Places are drawn with the picture."""

    kind: SupportKind = "clumps"
    """``clumps``: overlapping balls, as oxide carriers; ``grains``: the same, rounder, more alike;
    ``granular``: fine ragged carrier;
    ``lacey``: a web, holes cut out of all that lies below; ``sheets``: wrinkled flakes;
    ``fibres``: tubes and threads; ``edge``: vacuum on one side; ``grid_bar``: opaque on one side;
    ``aperture``: opaque outside a circle; ``stain``: an irregular patch with a darker rim;
    ``ring``: a drying ring; ``dirt``: small irregular specks; ``graphite``: carbon whose layers
    show as curved stripes; ``blotches``: sharp light patches cut out of the film or its stain."""
    depth: float = Field(default=0.5, ge=0.0, le=20.0)
    """Optical depth where it is about as thick as usual for it; for ``blotches`` the part of the
    film that they take away, at most 1."""
    size_px: float = Field(default=60.0, ge=1.0, le=4000.0)
    """Width of one of its pieces (ball, grain, hole, flake, thread, rim, speck, patch), px; for
    ``graphite`` the period of its stripes."""
    cover: float = Field(default=0.4, ge=0.0, le=1.0)
    """Fraction of the picture it aims to cover (``edge``: that the film keeps)."""
    soft_px: float = Field(default=1.5, ge=0.3, le=100.0)
    """Width over which its border fades, px."""
    follow: bool = False
    """Lie under the particles where it can (``clumps``, ``grains``, ``granular``, ``stain``)."""


class Mark(Settings):
    """One thing printed on the picture. Greys run from 0 (black) to 1 (white)."""

    kind: MarkKind = "text"
    """``text``; ``bar``: a scale bar with words; ``strip``: a data bar or a white border along one
    side; ``inset``: a pasted picture; outlines: ``rectangle``, ``ellipse``, ``line``, ``arrow``.
    The outlines are thin: what lies under them keeps its label and is not counted as printed."""
    words: str = Field(default="", max_length=120)
    """Text; a newline starts another line. The bar's words need not be its true length."""
    place_y: float = Field(default=0.0, ge=0.0, le=1.0)
    """Place in the room left over: 0 flush with the top, 1 with the bottom."""
    place_x: float = Field(default=0.0, ge=0.0, le=1.0)
    """Place in the room left over: 0 flush with the left, 1 with the right."""
    margin_px: int = Field(default=0, ge=0, le=200)
    """Room kept clear at the picture's borders, px."""
    size_px: int = Field(default=24, ge=6, le=400)
    """Height of the letters; height of an inset, rectangle or ellipse; breadth of a strip, px."""
    length_px: int = Field(default=100, ge=2, le=4000)
    """Length of a bar, line or arrow; width of an inset, rectangle or ellipse, px."""
    thick_px: int = Field(default=4, ge=1, le=60)
    """Thickness of a bar or an outline, px."""
    angle_deg: float = Field(default=0.0, ge=-180.0, le=180.0)
    """Direction of a line or an arrow, from +x towards +y (downwards)."""
    ink: float = Field(default=0.0, ge=0.0, le=1.0)
    """Grey of letters, bar and outline."""
    paper: float | None = Field(default=None, ge=0.0, le=1.0)
    """Grey of the box behind; none lets the picture show through."""
    rim: float | None = Field(default=None, ge=0.0, le=1.0)
    """Grey of a contour around the letters and the bar."""
    font: Font = "sans"
    """Typeface: ``sans`` and ``italic`` are OpenCV's; ``serif`` (as Times), ``wide`` (as Verdana)
    and ``mono`` come with matplotlib, regular or bold."""
    weight: int = Field(default=500, ge=100, le=900)
    """Weight of the letters: 400 regular, 700 bold."""
    words_at: WordsAt = "above"
    """Where a bar's words stand."""
    ends: bool = False
    """Ticks at both ends of a bar."""
    frame: bool = False
    """A thin line around the box."""
    dashed: bool = False
    """Break up an outline."""
    side: Side = "bottom"
    """The side along which a strip lies."""
    pattern: int = Field(default=0, ge=0)
    """Which inset: even numbers a diffraction pattern, odd ones a few blots; seeds them."""
