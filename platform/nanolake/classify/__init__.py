"""A classifier of shape groups, scored beside what it would reach on data without structure."""

from nanolake.classify.classification import Classification, ClassifySettings, classify

__all__ = ["Classification", "ClassifySettings", "classify"]
