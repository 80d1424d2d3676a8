"""Readers: one module a family of formats, all behind the protocol in `protocol`."""

from nanolake.ingest.readers.emd import EmdReader
from nanolake.ingest.readers.gatan import GatanReader
from nanolake.ingest.readers.mrc import MrcReader
from nanolake.ingest.readers.protocol import Reader
from nanolake.ingest.readers.rosetta import RosettaReader
from nanolake.ingest.readers.tia import EmiReader, SerReader
from nanolake.ingest.readers.tiff import TiffReader
from nanolake.ingest.readers.web import JpegReader, PngReader

READERS: tuple[Reader, ...] = (
    TiffReader(),
    PngReader(),
    JpegReader(),
    GatanReader(),
    EmdReader(),
    SerReader(),
    EmiReader(),
    MrcReader(),
)
"""nanolake's own readers, in the order in which they are asked whether they know a file."""

__all__ = ["READERS", "Reader", "RosettaReader"]
