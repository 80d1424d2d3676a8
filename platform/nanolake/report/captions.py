"""What stands below each figure of the report: what to see, and what not to conclude."""

from __future__ import annotations

CAPTIONS: dict[str, str] = {
    "sizes": (
        "Size distribution. Bars: particles, stacked by shape group; lines: normal and lognormal "
        "distributions fitted to all of them. Several humps mean several populations: then one "
        "mean and one fit describe none of them. A smaller AIC says which of two curves fits "
        "better, not that it fits well."
    ),
    "experiments": (
        "Experiments beside one another. Left: line from D10 to D90, box over the quartiles with "
        "the median, black diamond the mean with its 95 % interval. Right: the same sizes, "
        "cumulative. Colours stand for experiments here, not for groups."
    ),
    "differences": (
        "Is one batch the same product as another? Difference in mean diameter with its 95 % "
        "interval. Inside the grey band: alike within 5 %. Not decided means too few particles or "
        "micrographs, not that the batches are alike. Many pairs are compared: of 20 equal pairs "
        "one is called different by chance."
    ),
    "shares": (
        "Shape groups in each experiment. Equal bars mean the same mixture of shapes; they say "
        "nothing of sizes unless the grouping compared them."
    ),
    "montage": (
        "Examples of each group, from its smallest particle (left) to its largest, each scaled to "
        "its tile; below, the equivalent circular diameter. Look here first: if a row holds "
        "touching pairs or stains, its group is one of segmentation, not of chemistry."
    ),
    "mosaic": (
        "Particles close together, framed in the colour of their group, each scaled to its tile "
        "and stretched in contrast with its whole picture. The area of a colour is the group's "
        "share of the particles; sizes cannot be compared here."
    ),
    "parameters": (
        "Shape parameters of the outlines: curvature p (1 straight sides, 2 an ellipse, large a "
        "square), number of axes d, axis ratio L (1: equal axes). Above p of about 10 outlines "
        "look alike and p is uncertain. d is a whole number: its points are spread for sight, and "
        "for round particles it means nothing."
    ),
    "space": (
        "The same three parameters in space, seen from two sides. Clouds that touch in both views "
        "may still lie apart in other features; clouds that lie apart only in d may differ by one "
        "decision of the network."
    ),
    "features": (
        "Features by group: density, with a normal (solid) and a lognormal (dashed) distribution "
        "fitted to each group. Every row has its own height: do not compare heights. The axes "
        "leave out the outermost half per cent. A group that a curve does not follow is not one "
        "population in this feature."
    ),
    "features_all": (
        "All other features by group, drawn in the same way. Many of them measure the same thing: "
        "twenty that agree are not twenty proofs."
    ),
    "silhouette": (
        "Mean silhouette of every number of groups tried, beside that of data without structure of "
        "the same covariance (band: three standard deviations). Only the distance between the two "
        "speaks for groups: every division of anything has some silhouette."
    ),
    "confusion": (
        "Confusion matrix of held-out particles; shading by share of the row. It says how well the "
        "borders between the groups are learnt, which is easy also where the groups are arbitrary: "
        "read it beside the accuracy on data without structure."
    ),
    "dendrogram": (
        "Linkage tree of the particles in the coordinates that the grouping compared. The tree "
        "never sees the groups: where the strip below falls into runs of one colour, two methods "
        "agree. The cophenetic correlation tells how well a tree fits the distances, not how good "
        "the groups are."
    ),
    "parallel": (
        "Every compared feature is an upright axis, every group a line across them: thick the "
        "median, band the quartiles, thin lines single particles drawn at random. Groups part "
        "where their bands part; lines that cross show features that run against each other."
    ),
    "pareto": (
        "Principal components of the compared features (standardised). Where two or three hold "
        "nearly everything, the particles vary in two or three ways only. A component is a "
        "direction of spread, not a kind of particle."
    ),
    "excluded": (
        "Objects that segmentation found and left out. Large particles touch the picture's border "
        "more often than small ones: a long part there means that the sizes reported are too small."
    ),
    "cost": (
        "Computing time of the whole lake by stage, added up over all workers; on N workers the "
        "time on the clock is about one N-th. Units that failed are not in it."
    ),
}
"""Name of a figure -> its caption."""


def caption(name: str, more: str = "") -> str:
    """Return a figure's caption, with words on what was sampled at its end."""
    return f"{CAPTIONS[name]} {more}".strip()
