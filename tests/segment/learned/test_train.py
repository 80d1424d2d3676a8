"""From a checkpoint to files with scores and a card; weights to start from; a killed worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore")

from nanolake.errors import ModelError  # noqa: E402
from nanolake.model_files import Exports, described, load_weights, model_id  # noqa: E402
from nanolake.segment.learned import evaluate  # noqa: E402
from nanolake.segment.learned.evaluate import numbers, score_scenes  # noqa: E402
from nanolake.segment.learned.model import MapModel  # noqa: E402
from nanolake.segment.learned.module import SegmenterModule  # noqa: E402
from nanolake.segment.learned.settings import SegmenterTrainSettings  # noqa: E402
from nanolake.segment.learned.train import export, makers, model_card  # noqa: E402

VALUES: dict[str, Any] = {
    "name": "tiny",
    "channels": (4, 4, 4, 4, 4),
    "crop_px": 64,
    "micrograph_px": 128,
    "batch_size": 2,
    "crops_per_epoch": 8,
    "validation_micrographs": 2,
    "test_micrographs": 2,
}
TINY = SegmenterTrainSettings.short(**VALUES)
HISTORY = ({"epoch": 0.0, "val_loss": 2.0}, {"epoch": 1.0, "val_loss": 1.5})


def checkpoint_of(settings: SegmenterTrainSettings, path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    torch.save({"state_dict": SegmenterModule(settings).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    out = tmp_path_factory.mktemp("out")
    (out / "limits.md").write_text("- Looked at: it mistakes moons for particles.\n")
    checkpoint = checkpoint_of(TINY, out / "checkpoint.ckpt")
    return export(TINY, checkpoint, HISTORY, out=out, workers=3)


def test_files_and_what_they_say(made: Exports) -> None:
    assert {path.name for path in (made.weights, made.card, made.details, *made.more)} == {
        "tiny.onnx",
        "tiny.md",
        "tiny.json",
        "tiny.ckpt",
    }
    model, details = MapModel(made.weights), json.loads(made.details.read_text())
    assert model.card["settings"] == details["settings"] == TINY.model_dump(mode="json")
    assert model.card["workers"] == 3
    assert details["history"] == list(HISTORY)
    assert model_id(made.weights) == model.model_id
    assert {"test_f1_50", "test_f1_90", "baseline_f1_50", "test_truth"} <= set(made.metrics)
    assert made.metrics["weights_count"] == sum(p.numel() for p in makers(TINY)[0]().parameters())
    assert all(np.isfinite(value) for value in details["metrics"].values())


def test_the_card(made: Exports) -> None:
    text = made.card.read_text(encoding="utf-8")
    assert f"Model id `{model_id(made.weights)}`" in text
    assert "no real picture and no human label" in " ".join(text.split())
    assert "jobs/train_segmenter.py --out OUT --workers 3 --config SETTINGS.yaml" in text
    assert f"Seed {TINY.seed}, 3 workers" in text
    assert text.rstrip().endswith("## Limits\n\n- Looked at: it mistakes moons for particles.")
    assert "| nan" not in text


def test_the_card_of_the_shipped_settings_needs_no_settings_file() -> None:
    settings = SegmenterTrainSettings()
    card = {**described(settings), "workers": 2, "epochs_trained": settings.epochs}
    text = model_card(card, {"weights_count": 5.0, "test_truth": 7.0, "test_f1_50": 0.5}, "id")
    assert "jobs/train_segmenter.py --out OUT --workers 2\n" in text
    assert "| F1 at IoU 0.5 | 0.500 | – |" in text


def test_weights_to_start_from(made: Exports, tmp_path: Path) -> None:
    (start,) = made.more
    tuned = SegmenterTrainSettings.short(**VALUES, start_from=start)
    torch.manual_seed(9)
    fresh, begun = makers(TINY)[0](), makers(tuned)[0]()
    old = torch.load(start, weights_only=True)["state_dict"]
    assert all(torch.equal(old[name], value) for name, value in begun.state_dict().items())
    assert any(not torch.equal(old[name], value) for name, value in fresh.state_dict().items())
    # a card names the file and its content, not where it lay on this machine
    said = described(tuned)
    assert said["settings"]["start_from"] == "tiny.ckpt"
    assert str(start.parent) not in json.dumps(said)
    assert len(said["start_from_sha256"]) == 64


def test_an_older_network_without_the_last_map_is_a_start(tmp_path: Path) -> None:
    torch.manual_seed(1)
    old = dict(SegmenterModule(TINY).state_dict())
    rows = 4 * 3  # 2 x 2 pixels of each of the three maps that it had
    for name in ("network.head.weight", "network.head.bias"):
        old[name] = old[name][:rows]
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": old}, path)
    begun = makers(SegmenterTrainSettings.short(**VALUES, start_from=path))[0]().state_dict()
    assert len(begun["network.head.weight"]) == rows + 4
    assert begun["network.head.weight"][rows:].any()
    for name, value in old.items():
        assert torch.equal(begun[name][: len(value)] if value.ndim else begun[name], value)


def test_a_start_named_from_here_is_found_by_workers_elsewhere(
    made: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (start,) = made.more
    monkeypatch.chdir(start.parent)
    make = makers(SegmenterTrainSettings.short(**VALUES, start_from=Path(start.name)))[0]
    monkeypatch.chdir(tmp_path)
    assert make() is not None


def test_wrong_weights_to_start_from(made: Exports, tmp_path: Path) -> None:
    other = SegmenterTrainSettings.short(**{**VALUES, "channels": (4, 4, 4, 4, 8)})
    wrong = {
        "missing": tmp_path / "none.ckpt",
        "junk": tmp_path / "junk.ckpt",
        "another network": checkpoint_of(other, tmp_path / "other.ckpt"),
    }
    wrong["junk"].write_bytes(b"not a checkpoint at all")
    for path in wrong.values():
        settings = SegmenterTrainSettings.short(**VALUES, start_from=path)
        with pytest.raises(ModelError, match="start_from") as caught:
            makers(settings)[0]()
        assert path.name in str(caught.value)


def test_a_checkpoint_of_before_still_loads() -> None:
    # The shipped one was written before the two networks shared their module's base.
    shipped = Path(evaluate.__file__).parent / "weights" / "nanolake-segment.ckpt"
    module = SegmenterModule(SegmenterTrainSettings())
    load_weights(module, shipped, remedy="none")
    old = torch.load(shipped, weights_only=True)["state_dict"]
    assert list(module.state_dict()) == list(old)
    assert all(name.startswith("network.") for name in old)


def test_scores_by_hand() -> None:
    # Two pictures of one 10 x 10 particle each: found exactly, and not found at all. So recall is
    # 1/2, precision 1, F1 = 2 * 1 / (2 + 1), the mean of the pictures' F1 is (1 + 0) / 2.
    from nanolake.segment.learned.data import Scene

    labels = np.zeros((40, 40), np.uint16)
    labels[12:22, 9:19] = 1
    maps = np.zeros((40, 40, 5), np.uint8)
    bright, dark = (
        Scene(np.full((40, 40), value, np.float32), maps, labels) for value in (1.0, 0.0)
    )
    scores = score_scenes([bright, dark], lambda grey: labels * (grey > 0.5))
    found = numbers(scores, "x_")
    assert (found["x_truth"], found["x_found"]) == (2, 1)
    assert (found["x_recall"], found["x_precision"]) == (0.5, 1.0)
    assert found["x_f1_50"] == found["x_f1_90"] == pytest.approx(2 / 3)
    assert found["x_mean_f1"] == 0.5
    assert found["x_size_bias"] == 0
    assert found["x_count_error"] == -0.5
