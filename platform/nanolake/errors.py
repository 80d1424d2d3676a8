"""The error tree: everything nanolake raises for its users.

An error names the thing, its value and the remedy, and also inherits from the builtin that a
caller would expect, so that ``except ValueError`` keeps working.
"""

from __future__ import annotations


class NanolakeError(Exception):
    """Base of every error that nanolake raises on purpose."""


class SettingsError(NanolakeError, ValueError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class SchemaError(NanolakeError, ValueError):
    """A table definition is wrong, or rows do not fit the table they are written to."""


class SheetError(NanolakeError, ValueError):
    """A sample sheet cannot be understood; the message names row and column."""


class LakeError(NanolakeError, RuntimeError):
    """The lake cannot be opened, read or written."""


class StoreError(LakeError):
    """The place where a lake lies cannot be reached, or holds no more: no file is to blame.

    A run stops at it, and goes on later where it stopped.
    """


class LakeNotFoundError(LakeError, FileNotFoundError):
    """There is no lake at the given place."""


class QueryError(NanolakeError, ValueError):
    """The SQL text was refused or failed."""


class ModelError(NanolakeError, RuntimeError):
    """Model weights are missing, damaged or of the wrong kind."""


class EngineError(NanolakeError, RuntimeError):
    """Dask or Ray cannot be started or reached."""


class PictureError(NanolakeError, ValueError):
    """A picture cannot be used. ``reason`` is a stable word for the failure table.

    Reasons: ``empty``, ``truncated``, ``unreadable``, ``unknown_format``, ``wrong_extension``,
    ``too_large``, ``too_small``, ``not_finite``, ``constant``, ``diffraction``, ``spectrum``,
    ``complex``, ``not_an_image``, ``sidecar``, ``missing_file``, ``missing_extra``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[PictureError], tuple[str, str]]:
        """Pickle both arguments: the error crosses process borders in Dask and Ray."""
        return type(self), (self.reason, str(self))
