"""Pictures without a sample sheet: plain files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from nanolake.ingest.patterns import with_data_files
from nanolake.ingest.pictures import picture_suffixes
from nanolake.ingest.sheet import (
    UNASSIGNED,
    ExperimentEntry,
    MissingFile,
    SampleSheet,
    SourceFile,
    lab_id,
    stable_id,
)


def plain_paths(paths: Iterable[Path], *, pixel_size_nm: float | None = None) -> SampleSheet:
    """Return what a sample sheet would say of plain files and folders.

    Each folder that holds pictures becomes one experiment of the lab ``unassigned``, named after
    the folder, of no known sample. A folder is searched with all its subfolders for files with a
    known picture ending, hidden ones left out; a file named outright is taken whatever its ending.
    The experiment's id comes from the folder's full path, so that two folders of the same name
    stay two experiments.
    """
    groups: dict[Path, dict[Path, None]] = {}
    missing: dict[Path, list[MissingFile]] = {}
    for path in (Path(path) for path in paths):
        files = list(_pictures(path))
        for file in with_data_files(files):
            groups.setdefault(file.parent.resolve(), {})[file] = None
        if not files:
            folder = (path if path.is_dir() else path.parent).resolve()
            missing.setdefault(folder, []).append(_missing(path))
    return SampleSheet(
        experiments=tuple(
            _entry(folder, list(groups.get(folder, {})), missing.get(folder, []), pixel_size_nm)
            for folder in {**groups, **missing}
        )
    )


def _pictures(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    suffixes = picture_suffixes()
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if not hidden and file.suffix.lower() in suffixes and file.is_file():
            yield file


def _missing(path: Path) -> MissingFile:
    endings = " ".join(sorted(picture_suffixes()))
    none = f"holds no picture, in no subfolder either; the endings looked for are {endings}"
    what = none if path.is_dir() else "does not exist"
    return MissingFile(path=str(path), message=f"{path} {what}")


def _entry(
    folder: Path, files: list[Path], missing: list[MissingFile], pixel_size_nm: float | None
) -> ExperimentEntry:
    laboratory = lab_id(UNASSIGNED)
    return ExperimentEntry(
        lab=UNASSIGNED,
        experiment=folder.name or str(folder),
        lab_id=laboratory,
        experiment_id=stable_id("folder", laboratory, folder.as_posix()),
        sources=tuple(SourceFile(path=file, pixel_size_nm=pixel_size_nm) for file in files),
        missing=tuple(missing),
    )
