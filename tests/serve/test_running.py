"""The real service: `nanolake serve` in a process of its own, asked over HTTP on this machine."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from numpy.typing import NDArray

pytest.importorskip("ray", reason="needs the extra `serve`")

from nanolake.errors import ModelError, SettingsError
from nanolake.pipeline import describe
from nanolake.serve import ServeSettings, run_service
from nanolake.serve.running import choose_weights
from nanolake.shape import ShapePredictor, cut, predict_particles
from nanolake.shape.predictor import SHIPPED

NANOLAKE = Path(sys.executable).with_name("nanolake")
START_S = 150.0
LIMITS = "{max_crops: 100, max_pixels: 40000, max_bytes: 200000, batch_wait_s: 0.3}"


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        plain = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, plain)
        try:
            with urllib.request.urlopen(asked, timeout=120) as got:
                return Answer(got.status, dict(got.headers), got.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())


@dataclass(frozen=True)
class Answer:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(folder: Path, lake: Path) -> Service:
    """Start the service on a lake and wait until it says where it listens."""
    port, config = free_port(), folder / "serve.yaml"
    config.write_text(LIMITS, encoding="utf-8")
    words = ["serve", str(lake), "--port", str(port), "--config", str(config)]
    with (folder / "said").open("wb") as out:
        process = subprocess.Popen([NANOLAKE, *words], stdout=out, stderr=subprocess.STDOUT)
    until = time.monotonic() + START_S
    while b"serving" not in (said := (folder / "said").read_bytes()):
        assert process.poll() is None, said.decode()
        assert time.monotonic() < until, said.decode()
        time.sleep(0.2)
    return Service(process, port)


@pytest.fixture(scope="module")
def service(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = start(tmp_path_factory.mktemp("service"), finished.lake.root)
    yield started
    started.process.kill()
    started.process.wait(30)


def npy(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


pytestmark = pytest.mark.timeout(400)
live = [pytest.mark.slow, pytest.mark.ray]


class TestLive:
    """One start for all."""

    pytestmark = live

    def test_it_answers_with_the_network_of_the_lake(self, service: Service) -> None:
        assert service.ask("/health").told["status"] == "ok"
        model = service.ask("/model").told
        assert model["model_id"] == ShapePredictor().model_id
        assert model["source"] == "shipped with nanolake"  # this lake has no champion
        assert model["limits"]["max_crops"] == 100

    def test_crops_get_the_answer_of_the_predictor_in_this_process(
        self, service: Service, labels: NDArray[np.uint8]
    ) -> None:
        answer = service.ask("/crops", npy(cut(labels)), content_type="application/x-npy").told
        wanted = predict_particles(None, labels, ShapePredictor())
        for name in ("p", "d", "L_ratio", "log_p_sd", "L_ratio_sd", "jaccard", "d_probability"):
            found = np.array([row[name] for row in answer["crops"]])
            np.testing.assert_array_equal(found.astype(wanted[name].dtype), wanted[name])

    def test_a_micrograph_is_segmented_and_described(
        self, service: Service, labels: NDArray[np.uint8]
    ) -> None:
        noise = np.random.default_rng(0).normal(0.0, 60.0, labels.shape)
        file = io.BytesIO()
        tifffile.imwrite(file, (np.where(labels > 0, 800.0, 3000.0) + noise).astype("u2"))
        answer = service.ask("/micrograph?pixel_size_nm=0.5&name=a.tif", file.getvalue()).told
        assert answer["count"] == answer["segmentation"]["particle_count"] > 0
        assert all(0.5 < row["jaccard"] <= 1.0 for row in answer["particles"])
        assert answer["picture"]["name"] == "a.tif"

    def test_requests_that_come_together_are_predicted_together(
        self, service: Service, labels: NDArray[np.uint8]
    ) -> None:
        square, disc = cut(labels)[1:], cut(labels)[:1]
        alone = {
            sent: service.ask("/crops", npy(crop), content_type="application/npy").told["crops"]
            for sent, crop in (("square", square), ("disc", disc))
        }

        def ask(number: int) -> tuple[int, bool]:
            sent, crop = ("square", square) if number % 2 else ("disc", disc)
            answer = service.ask("/crops", npy(crop), content_type="application/npy")
            together = {key.lower(): value for key, value in answer.headers.items()}
            same = [
                one == pytest.approx(other, rel=1e-4)
                for row, wanted in zip(answer.told["crops"], alone[sent], strict=True)
                for one, other in zip(_flat(row), _flat(wanted), strict=True)
            ]
            return int(together["x-batch-requests"]), all(same)

        with ThreadPoolExecutor(8) as clients:
            found = list(clients.map(ask, range(8)))
        assert max(batch for batch, _ in found) > 1
        assert all(same for _, same in found)  # nobody was given another one's answer

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("/crops", b"", 422, "empty"),
            ("/crops", npy(np.zeros((1, 9, 9), "f4")), 422, "wrong_shape"),
            ("/crops", npy(np.full((1, 64, 64), np.nan, "f4")), 422, "not_finite"),
            ("/crops", npy(np.zeros((101, 64, 64), "u1")), 413, "too_many_crops"),
            ("/micrograph", b"this is no picture at all", 415, "unknown_format"),
            ("/micrograph", bytes(200_001), 413, "too_large"),
            ("/nowhere", b"", 404, "unknown_path"),
        ],
    )
    def test_bad_input_is_refused(
        self, service: Service, path: str, body: bytes, status: int, code: str
    ) -> None:
        answer = service.ask(path, body, content_type="application/x-npy")
        assert (answer.status, answer.told["error"]["code"]) == (status, code)
        assert service.ask("/health").status == 200

    def test_a_second_service_on_the_port_is_refused_at_once(self, service: Service) -> None:
        with pytest.raises(SettingsError, match=rf"port {service.port}: .*choose another"):
            run_service(ServeSettings(port=service.port), say=print)

    def test_it_ends_when_told_and_leaves_no_process(self, service: Service) -> None:
        # The last test of the class: the service is gone afterwards.
        family = psutil.Process(service.process.pid).children(recursive=True)
        assert len(family) > 3
        os.kill(service.process.pid, signal.SIGTERM)
        assert service.process.wait(90) == 0
        assert psutil.wait_procs(family, timeout=30)[1] == []
        with socket.socket() as trial:
            assert trial.connect_ex(("127.0.0.1", service.port)) != 0


def _flat(row: dict[str, Any]) -> list[float]:
    return [*(row[name] for name in sorted(row) if name != "d_probability"), *row["d_probability"]]


def test_weights_are_those_named_else_the_champion_else_the_shipped(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_weights(None, None) == (None, "shipped with nanolake")
    assert choose_weights(finished.lake.root, None) == (None, "shipped with nanolake")
    assert choose_weights(finished.lake.root, SHIPPED) == (SHIPPED, f"file {SHIPPED}")
    monkeypatch.setattr(describe, "champion", lambda lake: SHIPPED)
    champion = f"champion of {finished.lake.root}"
    assert choose_weights(finished.lake.root, None) == (SHIPPED, champion)
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        choose_weights(None, Path("nowhere.onnx"))


def test_a_taken_port_is_said_before_ray_starts() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}: .*choose another"):
            run_service(ServeSettings(port=port), say=print)
