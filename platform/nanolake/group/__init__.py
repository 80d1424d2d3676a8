"""Shape groups: particles alike in shape, found without labels and held against a null."""

from nanolake.group.grouping import Grouping, group
from nanolake.group.rows import Rows, TableRows
from nanolake.group.scores import rand_of_counts
from nanolake.group.settings import FEATURES, PARAMETERS, SIZE, GroupSettings, select_columns

__all__ = [
    "FEATURES",
    "PARAMETERS",
    "SIZE",
    "GroupSettings",
    "Grouping",
    "Rows",
    "TableRows",
    "group",
    "rand_of_counts",
    "select_columns",
]
