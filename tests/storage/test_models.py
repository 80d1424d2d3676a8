"""MLflow: what is logged comes back, byte for byte, under its alias."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="needs the extra `train`")

from nanolake.errors import ModelError
from nanolake.storage.models import ModelRegistry

pytestmark = [pytest.mark.filterwarnings("ignore")]


@pytest.mark.slow
def test_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/db/mlflow.db"
    registry = ModelRegistry(uri, experiment="trial")
    with pytest.raises(ModelError, match="no version of 'net' is called 'champion'"):
        registry.fetch("net", tmp_path / "out")
    versions = []
    for content in (b"first", b"second"):
        weights = tmp_path / "net.onnx"
        weights.write_bytes(content)
        run = registry.log(
            run_name="r",
            params={"seed": 1},
            metrics={"accuracy": 0.5, "unknown": float("nan")},
            history=[{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0}],
            files=[weights],
        )
        versions.append(registry.register("net", weights, run))
    assert [made.version for made in versions] == [1, 2]
    path, made = ModelRegistry(uri).fetch("net", tmp_path / "out")
    assert path.read_bytes() == b"second"
    assert made == versions[1]
    run = registry._client.get_run(made.run_id)
    assert run.data.params == {"seed": "1"}
    assert run.data.metrics == {"accuracy": 0.5, "loss": 1.0}
    curve = registry._client.get_metric_history(made.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(0, 2.0), (1, 1.0)]
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_no_registry(uri: str) -> None:
    with pytest.raises(ModelError, match="sqlite:///"):
        ModelRegistry(uri)
