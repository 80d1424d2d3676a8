"""Ingest: read micrographs and what is known of them, refuse what is none, and say why.

`read_pictures` decodes a file, `check_pixels` refuses pictures that cannot be measured, `quality`
describes them, `fingerprint` and `micrograph_id` name them, `read_sheet` and `plain_paths` say
which experiment they belong to.
"""

from nanolake.ingest.fingerprint import Fingerprint, fingerprint, micrograph_id, pixel_sha256
from nanolake.ingest.pictures import picture_suffixes, read_pictures
from nanolake.ingest.plain import plain_paths
from nanolake.ingest.quality import check_pixels, quality
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.sheet import (
    Condition,
    ExperimentEntry,
    MissingFile,
    SampleSheet,
    SourceFile,
    read_sheet,
)
from nanolake.ingest.units import from_sheet, pixel_size, to_nm

__all__ = [
    "Condition",
    "ExperimentEntry",
    "Fingerprint",
    "IngestSettings",
    "MissingFile",
    "SampleSheet",
    "SourceFile",
    "check_pixels",
    "fingerprint",
    "from_sheet",
    "micrograph_id",
    "picture_suffixes",
    "pixel_sha256",
    "pixel_size",
    "plain_paths",
    "quality",
    "read_pictures",
    "read_sheet",
    "to_nm",
]
