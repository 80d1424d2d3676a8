"""A classifier of shape groups, scored beside what it would reach on data without structure."""

from nanolake.classify.classification import Classification, Prediction
from nanolake.classify.settings import ClassifySettings
from nanolake.classify.training import classify

__all__ = ["Classification", "ClassifySettings", "Prediction", "classify"]
