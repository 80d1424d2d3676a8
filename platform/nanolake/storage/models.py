"""Models in MLflow: parameters, learning curve and files of a run, versions and an alias.

MLflow keeps its rows in a database (``sqlite:///…``, ``postgresql+psycopg://…``) or behind a
server (``http://…``); its plain file store is refused by MLflow itself. With SQLite the files lie
in ``mlartifacts/`` beside the database, never in the working directory; for a database that many
computers share it is said where they lie (``s3://…``, or a mounted folder).
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nanolake.errors import ModelError
from nanolake.storage.folders import S3Folder, open_folder
from nanolake.storage.ledger import PostgresDatabase

CHAMPION = "champion"
"""Alias of the version that inference uses."""
CHALLENGER = "challenger"
"""Alias of the newest version that was worse than the champion."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One registered version."""

    name: str
    version: int
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Version:
    """One registered version with its aliases and the scores of its run."""

    name: str
    version: int
    aliases: tuple[str, ...]
    run_id: str
    created_at: datetime
    metrics: Mapping[str, float]


class ModelRegistry:
    """Log runs, register ONNX models, hand back the champion."""

    def __init__(
        self, tracking_uri: str, experiment: str = "nanolake", artifacts: str | None = None
    ) -> None:
        _check_uri(tracking_uri)
        _quiet()
        from mlflow import MlflowClient

        self.tracking_uri, self.experiment = tracking_uri, experiment
        self._artifacts = None if artifacts is None else _artifact_uri(artifacts)
        if tracking_uri.startswith("postgresql"):
            _make_schema(tracking_uri)
        if tracking_uri.startswith("sqlite:///"):
            _sqlite_folder(tracking_uri).mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def log(
        self,
        *,
        run_name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        history: Sequence[Mapping[str, float]] = (),
        files: Sequence[Path] = (),
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Record one finished run and return its id.

        ``history`` holds one mapping a step; its ``epoch`` (or place) becomes MLflow's step.
        Values that are not finite are left out: MLflow's databases cannot hold them.
        """
        client = self._client
        run = client.create_run(self._experiment_id(), run_name=run_name, tags=dict(tags or {}))
        run_id: str = run.info.run_id
        for name, value in params.items():
            client.log_param(run_id, name, value)
        for place, row in enumerate(history):
            step = int(row.get("epoch", place))
            self._log_metrics(run_id, {k: v for k, v in row.items() if k != "epoch"}, step)
        self._log_metrics(run_id, metrics, None)
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id)
        return run_id

    def attach(self, run_id: str, path: Path, folder: str = "") -> None:
        """Keep a file with a run, in a folder of it."""
        self._client.log_artifact(run_id, str(path), folder or None)

    def files(self, run_id: str, folder: Path) -> Path:
        """Copy a run's files into ``folder`` and return where they lie.

        Raises `ModelError` where there is no such run.
        """
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._client.get_run(run_id)
            return Path(self._client.download_artifacts(run_id, "", str(folder)))
        except MlflowException as error:
            raise ModelError(
                f"there is no run {run_id!r} in {self.tracking_uri}: `nanolake models` lists them"
            ) from error

    def versions(self) -> list[Version]:
        """Return every registered version, by name, the newest first."""
        found = []
        for model in self._client.search_registered_models():
            aliases: dict[int, list[str]] = {}
            for alias, number in model.aliases.items():
                aliases.setdefault(int(number), []).append(alias)
            for made in self._client.search_model_versions(f"name='{model.name}'"):
                number = int(made.version)
                found.append(
                    Version(
                        name=model.name,
                        version=number,
                        aliases=tuple(sorted(aliases.get(number, ()))),
                        run_id=made.run_id,
                        created_at=datetime.fromtimestamp(made.creation_timestamp / 1000, UTC),
                        metrics=self._client.get_run(made.run_id).data.metrics,
                    )
                )
        return sorted(found, key=lambda one: (one.name, -one.version))

    def promote(self, name: str, version: int) -> None:
        """Make a version the champion. Raises `ModelError` where there is no such version."""
        known = {one.version: one for one in self.versions() if one.name == name}
        if version not in known:
            listed = ", ".join(map(str, sorted(known))) or "none"
            raise ModelError(f"{name!r} has no version {version}; known: {listed}")
        self._client.set_registered_model_alias(name, CHAMPION, str(version))
        if CHALLENGER in known[version].aliases:
            self._client.delete_registered_model_alias(name, CHALLENGER)

    def register(
        self, name: str, weights: Path, run_id: str, *, alias: str = CHAMPION
    ) -> Registered:
        """Make ``weights`` (an ONNX file) a new version of ``name`` and point ``alias`` at it.

        The file is stored in the run's folder ``model`` as it is, byte for byte: `fetch` returns
        the same hash.
        """
        from mlflow.exceptions import MlflowException

        client = self._client
        client.log_artifact(run_id, str(weights), "model")
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(name, source, run_id)
        client.set_registered_model_alias(name, alias, made.version)
        return Registered(name=name, version=int(made.version), run_id=run_id)

    def fetch(self, name: str, folder: Path, *, alias: str = CHAMPION) -> tuple[Path, Registered]:
        """Copy the weights that ``alias`` points at into ``folder``; return path and version.

        Raises `ModelError` where no version of ``name`` carries ``alias``.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            made = self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            raise ModelError(
                f"no version of {name!r} is called {alias!r} in {self.tracking_uri}: train one "
                "with `nanolake train`, or use the weights that come with the package"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        copied = download_artifacts(
            artifact_uri=made.source, dst_path=str(folder), tracking_uri=self.tracking_uri
        )
        found = sorted(Path(copied).rglob("*.onnx"))
        if len(found) != 1:
            raise ModelError(f"version {made.version} of {name!r} holds {len(found)} ONNX files")
        return found[0], Registered(name=name, version=int(made.version), run_id=made.run_id)

    def _experiment_id(self) -> str:
        known = self._client.get_experiment_by_name(self.experiment)
        if known is not None:
            return str(known.experiment_id)
        place = self._artifacts
        if self.tracking_uri.startswith("sqlite:///"):
            place = (_sqlite_folder(self.tracking_uri) / "mlartifacts").as_uri()
        return str(self._client.create_experiment(self.experiment, artifact_location=place))

    def _log_metrics(self, run_id: str, values: Mapping[str, float], step: int | None) -> None:
        for name, value in values.items():
            if math.isfinite(value):
                self._client.log_metric(run_id, name, float(value), step=step)


def _check_uri(uri: str) -> None:
    if "://" not in uri or uri.startswith("file:"):
        raise ModelError(
            f"tracking_uri={uri!r} is no database: give sqlite:///PATH/mlflow.db, "
            "postgresql+psycopg://… or the http address of an MLflow server"
        )


def _artifact_uri(place: str) -> str:
    """Return MLflow's name of a folder; it takes S3's endpoint from the environment alone."""
    folder = open_folder(place)
    if isinstance(folder, S3Folder):
        if folder.endpoint:
            os.environ["MLFLOW_S3_ENDPOINT_URL"] = folder.endpoint
        return folder.where("")
    return Path(place).as_uri()


def _make_schema(tracking_uri: str) -> None:
    """Make the schema that a PostgreSQL address names, where it names one."""
    parts = urlsplit(tracking_uri)
    query = dict(parse_qsl(parts.query))
    schema = query.pop("options", "").partition("search_path=")[2]
    if schema:
        plain = parts._replace(scheme="postgresql", query=urlencode(query))
        PostgresDatabase(urlunsplit(plain), schema).prepare()


def _sqlite_folder(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///")).resolve().parent


def _quiet() -> None:
    """Silence MLflow's notices and the migration log of a fresh database."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401
    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)
