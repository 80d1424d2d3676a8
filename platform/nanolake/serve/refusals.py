"""Refusals: what a request is told that is not answered, in the same form whatever went wrong."""

from __future__ import annotations

from typing import Any

from nanolake.errors import NanolakeError, PictureError

RETRY_AFTER_S = 2
"""What a client is told to wait where the service is busy."""


class RefusedError(NanolakeError, ValueError):
    """A request that is not answered: HTTP status, a stable code, and text for people.

    Codes: ``bad_header``, ``bad_parameter``, ``bad_multipart``, ``incomplete`` (400);
    ``unknown_path`` (404); ``unknown_method`` (405); ``too_large``, ``too_many_crops`` (413);
    ``unknown_type``, ``unknown_format``, ``missing_extra`` (415); ``bad_npy``, ``wrong_shape``,
    ``wrong_dtype``, ``wrong_length``, ``not_finite``, ``out_of_range``, ``empty``, ``empty_crop``,
    ``bad_labels``, ``frame``, and the reasons of `PictureError` (422); ``internal`` (500);
    ``busy``, ``memory`` (503).
    """

    def __init__(self, status: int, code: str, what: str, value: Any, remedy: str) -> None:
        super().__init__(f"{what} ({value}): {remedy}")
        self.status, self.code = status, code
        self.what, self.value, self.remedy = what, value, remedy

    def __reduce__(self) -> tuple[type[RefusedError], tuple[int, str, str, Any, str]]:
        return type(self), (self.status, self.code, self.what, self.value, self.remedy)

    def as_dict(self) -> dict[str, Any]:
        """Return what is sent as JSON."""
        told = {"code": self.code, "what": self.what, "value": self.value, "remedy": self.remedy}
        return {"error": told}

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == 503 else {}


_REMEDIES = {
    "empty": "send the bytes of a picture file",
    "truncated": "copy the file again: its end is missing",
    "unreadable": "open the file in another program and save it as TIFF",
    "unknown_format": "send one of the formats that GET /model lists",
    "wrong_extension": "give the file the ending of its content",
    "too_large": "send a part of the picture, or start the service with a larger max_pixels",
    "too_small": "send a picture of at least 32 pixels a side",
    "not_finite": "mask or mend the NaN and infinite values first",
    "constant": "send a picture that shows something",
    "missing_extra": "the service lacks the extra `formats`: save the file as TIFF",
}
_STATUS = {"too_large": 413, "unknown_format": 415, "missing_extra": 415}


def of_picture(error: PictureError, name: str) -> RefusedError:
    """Return the refusal of a picture that ingest would not take either; its code is the reason."""
    remedy = _REMEDIES.get(error.reason, "send a micrograph: one plane of real grey values")
    status = _STATUS.get(error.reason, 422)
    return RefusedError(status, error.reason, str(error), name, remedy)


def internal(mark: str) -> RefusedError:
    """Return what a client is told of a defect; its trace stands in the log at ``mark``."""
    return RefusedError(
        500,
        "internal",
        "a defect of the service",
        mark,
        "try another input; whoever runs the service finds the trace in its log under this mark",
    )
