"""Files below one root: a folder of a local disk, or a prefix of a bucket on S3.

Both do the same few things, so that whoever stores pictures, backs a lake up or looks for orphans
need not know which it is. Paths are relative to the root and use ``/``. A file appears whole or
not at all: locally by renaming, on S3 because an object is put in one request.

A root is written as text, which is what workers are handed::

    /data/lake/pixels
    s3://bucket/prefix?endpoint=http://127.0.0.1:8333&region=us-east-1

Credentials for S3 never stand in it: they come from where the AWS tools look for them, which is
``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``, ``~/.aws``, a role.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from nanolake.errors import LakeError, SettingsError, StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

_BLOCK_BYTES = 1 << 20
_CREATE_AGAIN_S = (1.0,)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file below a root."""

    path: str
    size_bytes: int
    modified_at: datetime


class Folder(Protocol):
    """Files below one root. A path that is not there raises `FileNotFoundError`."""

    @property
    def url(self) -> str:
        """What `open_folder` makes the same folder of, on any machine that reaches it."""
        ...

    def where(self, path: str) -> str:
        """Return how to name a file to a person."""
        ...

    def below(self, path: str) -> Folder:
        """Return the folder at ``path``."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write a file, or put other contents in its place, in one step."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one; return whether it was written."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file (not a folder) at ``path``."""
        ...

    def size_bytes(self, path: str) -> int:
        """Return a file's size."""
        ...

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file's bytes, which are never held in memory all at once."""
        ...

    def children(self, path: str) -> list[str]:
        """Return the names of the folders right below ``path``, sorted."""
        ...

    def walk(self, path: str = "") -> Iterator[Entry]:
        """Give every file below ``path``, sorted by path."""
        ...

    def scan(self, path: str = "") -> Iterator[Entry]:
        """Give every file below ``path`` in no order, and never hold all of them in memory.

        An empty folder of a disk is given too; its path ends with ``/``.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""
        ...

    def remove_below(self, path: str) -> None:
        """Remove a folder with all that is in it, its ``zarr.json`` first.

        Where this is interrupted, what is left does not look like a whole picture.
        """
        ...

    def abandon_uploads(self, before: datetime) -> int:
        """End uploads in parts that began before a time and never ended; return how many."""
        ...

    def copy_in(self, source: Path, path: str) -> None:
        """Put a local file at ``path``, in one step and without holding it in memory."""
        ...

    def copy_out(self, path: str, target: Path) -> None:
        """Write a file's bytes to a local file."""
        ...

    def publish(self, made: Path, path: str) -> bool:
        """Put a local folder's files at ``path``; return False where somebody's are there already.

        The file ``zarr.json`` of the folder itself comes last: with it the folder is whole. The
        local folder may be moved away by this.
        """
        ...

    def staging(self, path: str) -> AbstractContextManager[Path]:
        """Give a new local folder to make something in that will be published at ``path``."""
        ...

    def fetched(self, path: str) -> AbstractContextManager[Path]:
        """Give a local folder with the files below ``path``; not to be written to."""
        ...

    def zarr_store(self, path: str) -> Any:
        """Return what Zarr opens lazily."""
        ...


def open_folder(url: str | Path) -> Folder:
    """Return the folder at a local path or an ``s3://`` address; raise `SettingsError` for others.

    >>> open_folder("/data/lake").where("a/b")
    '/data/lake/a/b'
    """
    text = str(url)
    if "://" not in text:
        return LocalFolder(Path(text))
    if text.startswith("s3://"):
        return S3Folder.parse(text)
    raise SettingsError(f"{text!r} is neither a folder nor s3://BUCKET/PREFIX")


@dataclass(frozen=True)
class LocalFolder:
    """A folder of a local (or mounted) file system."""

    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def where(self, path: str) -> str:
        return str(self.root / path)

    def below(self, path: str) -> LocalFolder:
        return LocalFolder(self.root / path)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        with self._half(path) as half:
            half.write_bytes(data)
            half.replace(self.root / path)

    def create(self, path: str, data: bytes) -> bool:
        with self._half(path) as half:
            half.write_bytes(data)
            return _linked(half, self.root / path)

    def exists(self, path: str) -> bool:
        return (self.root / path).is_file()

    def size_bytes(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def sha256(self, path: str) -> str:
        with (self.root / path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def children(self, path: str) -> list[str]:
        folder = self.root / path
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())

    def walk(self, path: str = "") -> Iterator[Entry]:
        for folder, names, files in os.walk(self.root / path):
            names.sort()
            for name in sorted(files):
                file = Path(folder, name)
                try:
                    stat = file.stat()
                except FileNotFoundError:  # removed while we walk
                    continue
                yield Entry(
                    path=file.relative_to(self.root).as_posix(),
                    size_bytes=stat.st_size,
                    modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
                )

    def scan(self, path: str = "") -> Iterator[Entry]:
        for name, folders, files in os.walk(self.root / path):
            for one in files or ([] if folders else [""]):
                file = Path(name, one)
                try:
                    stat = file.stat()
                except FileNotFoundError:  # removed while we walk
                    continue
                yield Entry(
                    path=file.relative_to(self.root).as_posix() + ("" if one else "/"),
                    size_bytes=stat.st_size if one else 0,
                    modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
                )

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def remove_below(self, path: str) -> None:
        self.remove(f"{path}/zarr.json")
        with suppress(FileNotFoundError):
            shutil.rmtree(self.root / path)

    def abandon_uploads(self, before: datetime) -> int:
        return 0  # a disk has none

    def copy_in(self, source: Path, path: str) -> None:
        with self._half(path) as half:
            shutil.copyfile(source, half)
            half.replace(self.root / path)

    def copy_out(self, path: str, target: Path) -> None:
        shutil.copyfile(self.root / path, target)

    def publish(self, made: Path, path: str) -> bool:
        final = self.root / path
        try:
            made.rename(final)
        except OSError:
            if not final.exists():  # else somebody else finished the same first
                raise
            return False
        return True

    @contextmanager
    def staging(self, path: str) -> Iterator[Path]:
        final = self.root / path
        made = final.parent / f".writing-{final.name}-{uuid.uuid4().hex[:8]}"
        made.mkdir(parents=True)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        yield self.root / path

    def zarr_store(self, path: str) -> str:
        return str(self.root / path)

    @contextmanager
    def _half(self, path: str) -> Iterator[Path]:
        final = self.root / path
        final.parent.mkdir(parents=True, exist_ok=True)
        half = final.with_name(f".{final.name}-{uuid.uuid4().hex[:8]}")
        try:
            yield half
        finally:
            half.unlink(missing_ok=True)


@dataclass(frozen=True)
class S3Folder:
    """A prefix of a bucket. ``endpoint`` is None for Amazon's own."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, url: str) -> S3Folder:
        """Read an ``s3://`` address; `SettingsError` where no bucket is named, or a secret is."""
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise SettingsError(
                "an S3 address holds no credentials: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if unknown := set(query) - {"endpoint", "region"}:
            raise SettingsError(f"an S3 address takes endpoint and region, not {sorted(unknown)}")
        if not parts.netloc:
            raise SettingsError(f"{url!r} names no bucket: write s3://BUCKET/PREFIX")
        endpoint = query.get("endpoint") or _endpoint()
        region = query.get("region")
        return cls(parts.netloc, parts.path.strip("/"), endpoint, region)

    @property
    def url(self) -> str:
        query = {"endpoint": self.endpoint, "region": self.region}
        given = urlencode({k: v for k, v in query.items() if v}, safe=":/", quote_via=quote)
        return self.where("") + (f"?{given}" if given else "")

    def where(self, path: str) -> str:
        return f"s3://{self.bucket}/{self._key(path)}"

    def below(self, path: str) -> S3Folder:
        return S3Folder(self.bucket, self._key(path), self.endpoint, self.region)

    def read(self, path: str) -> bytes:
        with _said(self.where(path)):
            return bytes(self._store.get(self._key(path)).bytes())

    def write(self, path: str, data: bytes) -> None:
        with _said(self.where(path)):
            self._store.put(self._key(path), data)

    def create(self, path: str, data: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError

        for wait_s in (*_CREATE_AGAIN_S, None):
            try:
                with _said(self.where(path)):
                    self._store.put(self._key(path), data, mode="create")
            except AlreadyExistsError:
                return False
            except StoreError:  # the client itself does not repeat what it has sent already
                if wait_s is None:
                    raise
                time.sleep(wait_s)
            else:
                return True
        raise AssertionError("the last try returns or raises")

    def exists(self, path: str) -> bool:
        try:
            self.size_bytes(path)
        except FileNotFoundError:
            return False
        return True

    def size_bytes(self, path: str) -> int:
        with _said(self.where(path)):
            return int(self._store.head(self._key(path))["size"])

    def sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with _said(self.where(path)):
            for block in self._store.get(self._key(path)).stream(min_chunk_size=_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def children(self, path: str) -> list[str]:
        prefix = f"{self._key(path)}/"
        with _said(self.where(path)):
            found = self._store.list_with_delimiter(prefix)["common_prefixes"]
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def walk(self, path: str = "") -> Iterator[Entry]:
        start = len(self.prefix) + 1 if self.prefix else 0
        key = self._key(path)
        with _said(self.where(path)):
            found = [row for rows in self._store.list(f"{key}/" if key else None) for row in rows]
        for row in sorted(found, key=lambda row: str(row["path"])):
            yield Entry(
                path=str(row["path"])[start:],
                size_bytes=int(row["size"]),
                modified_at=row["last_modified"],
            )

    def scan(self, path: str = "") -> Iterator[Entry]:
        start = len(self.prefix) + 1 if self.prefix else 0
        key = self._key(path)
        with _said(self.where(path)):
            for rows in self._store.list(f"{key}/" if key else None):
                for row in rows:
                    yield Entry(
                        path=str(row["path"])[start:],
                        size_bytes=int(row["size"]),
                        modified_at=row["last_modified"],
                    )

    def remove(self, path: str) -> None:
        with _said(self.where(path)):
            self._store.delete(self._key(path))

    def remove_below(self, path: str) -> None:
        self.remove(f"{path}/zarr.json")
        for entry in list(self.scan(path)):
            self.remove(entry.path)

    def abandon_uploads(self, before: datetime) -> int:
        session = _session(self.where(""))
        from botocore.exceptions import BotoCoreError, ClientError

        prefix = f"{self.prefix}/" if self.prefix else ""
        try:
            client = session.client("s3", endpoint_url=self.endpoint, region_name=self.region)
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            found = [upload for page in pages for upload in page.get("Uploads", ())]
            old = [upload for upload in found if upload["Initiated"] < before]
            for upload in old:
                client.abort_multipart_upload(
                    Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        except (BotoCoreError, ClientError) as error:
            raise LakeError(
                f"unfinished uploads below {self.where('')} cannot be ended: {error}"
            ) from None
        return len(old)

    def copy_in(self, source: Path, path: str) -> None:
        with _said(self.where(path)):
            self._store.put(self._key(path), source)

    def copy_out(self, path: str, target: Path) -> None:
        with _said(self.where(path)):
            found = self._store.get(self._key(path))
            with target.open("wb") as file:
                for block in found.stream(min_chunk_size=_BLOCK_BYTES):
                    file.write(block)

    def publish(self, made: Path, path: str) -> bool:
        """Put the files; a file that is there already stays: the caller reads back and compares."""
        names = (file.relative_to(made).as_posix() for file in made.rglob("*") if file.is_file())
        # Pixels first, then what describes them, and last what says that the picture is whole.
        order = sorted(names, key=lambda name: (name == "zarr.json", name.endswith(".json"), name))
        written = [self.create(f"{path}/{name}", (made / name).read_bytes()) for name in order]
        return written[-1]

    @contextmanager
    def staging(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="nanolake-") as folder:
            yield Path(folder)

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="nanolake-") as folder:
            for name in ("zarr.json", "0/zarr.json", "0/c/0/0"):
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    self.copy_out(f"{path}/{name}", target)
            yield Path(folder)

    def zarr_store(self, path: str) -> Any:
        from zarr.storage import ObjectStore

        with _said(self.where(path)):
            return ObjectStore(self.below(path)._prefixed(), read_only=True)

    def duckdb_secret(self, name: str) -> str:
        """Return the statement that lets DuckDB reach this prefix. It holds the secret key."""
        session = _session(self.where(""))
        keys = session.get_credentials()
        frozen = keys.get_frozen_credentials() if keys else None
        values = {
            "SCOPE": f"s3://{self.bucket}",
            "REGION": self.region or session.region_name or "us-east-1",
            "KEY_ID": frozen.access_key if frozen else None,
            "SECRET": frozen.secret_key if frozen else None,
            "SESSION_TOKEN": frozen.token if frozen else None,
        }
        words = [
            f"{key} '{str(v).replace(chr(39), chr(39) * 2)}'" for key, v in values.items() if v
        ]
        if self.endpoint:
            host = urlsplit(self.endpoint)
            words += [f"ENDPOINT '{host.netloc}'", "URL_STYLE 'path'"]
            words += [f"USE_SSL {'true' if host.scheme == 'https' else 'false'}"]
        return f"CREATE OR REPLACE SECRET {name} (TYPE s3, {', '.join(words)})"

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.prefix, path.strip("/")) if part)

    @property
    def _store(self) -> S3Store:
        _require_own_threads(self.where(""))
        return self._whole_bucket

    @cached_property
    def _whole_bucket(self) -> S3Store:
        return self._opened(None)

    def _prefixed(self) -> S3Store:
        return self._opened(self.prefix)

    def _opened(self, prefix: str | None) -> S3Store:
        try:
            from obstore.auth.boto3 import Boto3CredentialProvider
            from obstore.store import S3Store
        except ImportError:
            raise _no_extra() from None

        _require_own_threads(self.where(""))
        session = _session(self.where(""))
        options: dict[str, Any] = {"region": self.region or session.region_name or "us-east-1"}
        if self.endpoint:
            options |= {"endpoint": self.endpoint, "virtual_hosted_style_request": False}
        if session.get_credentials() is None:
            options |= {"skip_signature": True}
        else:
            options |= {"credential_provider": Boto3CredentialProvider(session=session)}
        plain = (self.endpoint or "").startswith("http://")
        return S3Store(
            self.bucket,
            prefix=prefix,
            client_options={"allow_http": plain, "timeout": "60s", "connect_timeout": "5s"},
            retry_config=_RETRY,
            **options,
        )

    def __getstate__(self) -> tuple[Any, ...]:
        """Pickle without the open connection: workers make their own."""
        return (self.bucket, self.prefix, self.endpoint, self.region)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(("bucket", "prefix", "endpoint", "region"), state, strict=True):
            object.__setattr__(self, name, value)


# The waits are drawn at random up to these: a server that is away for 10 s costs nothing but time.
_RETRY: Any = {
    "max_retries": 8,
    "backoff": {
        "init_backoff": timedelta(seconds=0.5),
        "max_backoff": timedelta(seconds=5.0),
        "base": 2.0,
    },
}


_threads_of: list[int] = []
"""The process that the S3 client's threads run in, once there are any."""


def _require_own_threads(where: str) -> None:
    """Refuse the child of a fork, in which the client's threads are gone and it waits for ever."""
    if not _threads_of:
        _threads_of.append(os.getpid())
    if _threads_of[0] != os.getpid():
        raise LakeError(
            f"{where}: this process was forked from one that used S3 already: start processes "
            "with multiprocessing's 'spawn', or before the lake is opened"
        )


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _session(where: str) -> Any:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise _no_extra() from None
    try:
        return boto3.Session()
    except BotoCoreError as error:
        raise LakeError(f"no credentials for {where}: {error}") from None


def _no_extra() -> LakeError:
    return LakeError("a lake on S3 needs obstore and boto3: pip install 'nanolake[cluster]'")


@contextmanager
def _said(where: str) -> Iterator[None]:
    """Turn what the S3 client raises into an error of ours, which never holds a credential."""
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        NotFoundError,
        PermissionDeniedError,
        UnauthenticatedError,
    )

    try:
        yield
    except AlreadyExistsError:
        raise
    except (NotFoundError, FileNotFoundError):
        raise FileNotFoundError(where) from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise StoreError(
            f"{where}: the S3 server refuses these credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE), "
            "or they may not do this"
        ) from None
    except BaseError as error:
        text = str(error).partition("\n\n")[0]
        raise StoreError(f"{where}: the S3 server does not answer as it should: {text}") from None


def disk_is_full(error: BaseException) -> bool:
    """Whether there is no room left: a full disk, a used-up quota, a limit on a file's size."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    return "disk is full" in text or any(os.strerror(number) in text for number in _FULL)


@contextmanager
def room(where: str) -> Iterator[None]:
    """Turn what a full disk raises into an error of ours."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError) or not disk_is_full(error):
            raise
        raise StoreError(f"{where}: no room left: make room, and run it again to go on") from error


def _linked(half: Path, final: Path) -> bool:
    """Give a finished file its name unless the name is taken; both in one step of the system."""
    try:
        os.link(half, final)
    except FileExistsError:
        return False
    return True
