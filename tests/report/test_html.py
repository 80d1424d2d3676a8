"""The page: whole, self-contained, honest about what is missing, and safe against names."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nanolake.report import ReportData, ReportError, build_report
from nanolake.report.captions import CAPTIONS
from nanolake.report.evidence import grouping_verdict, stands_out, unpack
from nanolake.report.pictures import BUDGET_BYTES

SECTIONS = [
    "sizes", "batches", "groups", "trust", "micrographs", "left-out", "details", "provenance",
]  # fmt: skip
FIGURES = [
    *("sizes", "experiments", "differences", "shares", "parameters", "space", "features"),
    *("parallel", "pareto", "dendrogram", "silhouette", "confusion", "excluded", "cost"),
]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects elements and text, and checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words, self.balanced = [], [], [], True
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.balanced &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())


def page_of(data, folder):
    return Page(build_report(data, folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    path = build_report(report, folder / "new" / "report.html", figures_dir=folder / "files")
    return path, folder / "files", Page(path.read_text(encoding="utf-8"))


def test_all_sections_and_figures_are_there(built):
    _, _, page = built
    assert [a["id"] for tag, a in page.seen if tag == "section"] == SECTIONS
    assert page.balanced
    assert not page.open
    images = [a for tag, a in page.seen if tag == "img"]
    assert len(images) == 4 + 2 + len(FIGURES)  # overlays; two montages
    assert all(a["alt"] for a in images)
    assert [tag for tag, _ in page.seen].count("details") == 6


def test_captions_say_what_to_see_and_the_null_stands_beside_every_score(built):
    _, _, page = built
    heads = page.text.count("These particles Data without structure")
    assert heads == 2  # the groups' measures, and the classifier's accuracies
    assert "not how good the groups are" in page.text
    assert "Not decided means too few particles" in page.text
    for name in FIGURES:
        assert CAPTIONS[name].replace("  ", " ") in page.text


def test_the_page_opens_with_what_a_chemist_asks(built, report):
    _, _, page = built
    start = page.text[: page.text.index("Weighted by number")]
    for words in ("How many?", f"{len(report.particles)} particles", "What size?", "σ/d",
                  "What shapes?", "3 shape groups", "How sure?",
                  "silhouette 0.61, by chance 0.24",
                  "96 % right on experiments never seen"):  # fmt: skip
        assert words in start


def test_nothing_is_fetched_and_no_script_runs(built):
    path, _, page = built
    text = path.read_text(encoding="utf-8")
    without_pictures = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert "http" not in without_pictures
    assert "url(" not in without_pictures
    assert "@import" not in without_pictures
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.seen}
    for tag, attributes in page.seen:
        assert not any(name.startswith("on") for name in attributes), tag
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/")
        if "href" in attributes:
            assert attributes["href"].startswith("#")


def test_summary_and_tables_say_what_was_found(built, report):
    _, _, page = built
    n = len(report.particles)
    assert f"{n} particles on 4 micrographs of 2 experiments" in page.text
    assert "3 shape groups. 33 objects excluded, 1 file has failed." in page.text
    mean = report.particles["equivalent_diameter_area_nm"].mean()
    shown = re.search(r"diameter (\d+(?:\.\d+)?) ± (\d+(?:\.\d+)?) nm", page.text)
    assert float(shown[1]) == pytest.approx(mean, abs=0.5)  # written as its interval allows
    assert "a/empty.tif holds no bytes: copy it again" in page.text
    assert "5 min 5 s" in page.text
    assert "97.4 %" in page.text
    assert "96.2 %" in page.text
    assert "0.240 ± 0.010" in page.text


def test_csv_files_equal_the_frames(built, report):
    _, files, _ = built
    back = pd.read_csv(files / "particles.csv")
    pd.testing.assert_frame_equal(back, report.particles, check_dtype=False)
    assert pd.read_csv(files / "ensemble.csv")["N"].iloc[-1] == len(report.particles)
    names = {path.name for path in files.iterdir()}
    assert {f"{name}{ending}" for name in FIGURES for ending in (".svg", ".png")} <= names
    assert {"overlay_1.jpg", "montage.jpg", "mosaic.jpg", "failures.csv", "cost.csv"} <= names


def test_csv_values_are_those_of_pandas(built, report):
    _, files, _ = built
    frame = report.particles
    by = frame.groupby("shape_group")
    groups = pd.read_csv(files / "groups.csv").set_index("group")
    assert groups["count"].to_dict() == by.size().to_dict()
    for name in ("equivalent_diameter_area_nm", "solidity", "L_ratio", "feret_diameter_max_nm"):
        assert groups[f"{name}_mean"].to_numpy() == pytest.approx(by[name].mean().to_numpy())
        assert groups[f"{name}_sd"].to_numpy() == pytest.approx(by[name].std().to_numpy())
    fits = pd.read_csv(files / "fits.csv").set_index(["feature", "group"]).loc["solidity"]
    assert fits["normal_mean"].to_numpy() == pytest.approx(by["solidity"].mean().to_numpy())
    assert fits["normal_sd"].to_numpy() == pytest.approx(by["solidity"].std(ddof=0).to_numpy())
    logs = np.log(frame["solidity"]).groupby(frame["shape_group"])
    assert np.log(fits["lognormal_median"]).to_numpy() == pytest.approx(logs.mean().to_numpy())
    shares = pd.read_csv(files / "group_shares.csv").set_index(["experiment", "group"])["share"]
    counted = frame.groupby("experiment")["shape_group"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx(counted.to_dict())
    pair = pd.read_csv(files / "batches.csv").iloc[0]
    means = frame.groupby("experiment")["equivalent_diameter_area_nm"].mean()
    assert pair["difference"] == pytest.approx(means["LARP-07"] - means["HI-01"])
    pd.testing.assert_frame_equal(pd.read_csv(files / "excluded.csv"), report.losses)


def test_hostile_names_are_text(report, tmp_path):
    bad = "<script>alert(1)</script>\"'&$x_{"
    particles = report.particles.assign(experiment=bad)
    shots = [replace(m, name=bad, experiment=bad) for m in report.micrographs[:1]]
    data = replace(
        report, title=bad, query=bad, particles=particles, micrographs=shots,
        provenance={bad: bad}, excluded={bad: 1}, failures=pd.DataFrame(
            [[bad] * 4], columns=["path", "stage", "reason", "message"]
        ), grouping={"k": 2, bad: bad}, classifier={"accuracy": 0.9, bad: bad},
    )  # fmt: skip
    page = page_of(data, tmp_path)
    assert "script" not in {tag for tag, _ in page.seen}
    assert page.balanced
    assert page.text.count(bad) > 8


def test_an_empty_report_says_so(tmp_path):
    data = ReportData(title="Nothing", particles=pd.DataFrame())
    page = page_of(data, tmp_path)
    assert "No particles were found." in page.text
    assert "There are no particles to describe." in page.text
    assert "No file failed." in page.text
    assert [a["id"] for tag, a in page.seen if tag == "section"] == SECTIONS


def test_an_empty_frame_with_columns_is_empty_too(report, tmp_path):
    page = page_of(replace(report, particles=report.particles.iloc[:0]), tmp_path)
    assert "No particles were found. 33 objects excluded" in page.text
    # The micrographs are still shown, and what speaks of the run: silhouette, confusion, losses,
    # cost.
    assert [tag for tag, _ in page.seen].count("img") == 4 + 4


def test_particles_without_pixel_size_are_left_out_and_counted(report, tmp_path):
    particles = report.particles.copy()
    lost = (particles["experiment"] == "LARP-07").to_numpy()
    nm = ["equivalent_diameter_area_nm", "area_nm2", "feret_diameter_max_nm"]
    particles.loc[lost, nm] = np.nan
    page = page_of(replace(report, particles=particles), tmp_path)
    assert f"{lost.sum()} particles on 2 micrographs without a known pixel size" in page.text
    assert "Mean (nm)" in page.text
    assert "Mean (px)" not in page.text


def test_unknown_pixel_sizes_give_pixels(report, tmp_path):
    names = [c for c in report.particles if c.endswith(("_nm", "_nm2"))]
    particles = report.particles.assign(**dict.fromkeys(names, np.nan))
    shots = [replace(m, pixel_size_nm=None) for m in report.micrographs]
    page = page_of(replace(report, particles=particles, micrographs=shots), tmp_path)
    assert "all lengths are in pixels" in page.text
    assert "Mean (px)" in page.text
    assert "(nm)" not in page.text
    assert "pixel size unknown" in page.text


def test_no_groups_and_nothing_but_sizes(report, tmp_path):
    few = ["particle_id", "micrograph_id", "label", "equivalent_diameter_area_nm"]
    data = ReportData(
        title="Bare", particles=report.particles[few], micrographs=report.micrographs[:1]
    )
    page = page_of(data, tmp_path)
    assert "These particles have not been divided into groups." in page.text
    assert "No classifier has been trained on these groups." in page.text
    assert "Group 1" not in page.text


def test_nullable_columns_as_duckdb_gives_them(report, tmp_path):
    particles = report.particles.convert_dtypes()
    particles.loc[particles.index[:3], ["shape_group", "p", "d", "L_ratio"]] = pd.NA
    page = page_of(replace(report, particles=particles), tmp_path)
    assert "Not grouped" in page.text


def test_one_group_says_that_there_are_none(report, tmp_path):
    data = replace(
        report, particles=report.particles.assign(shape_group=1), classifier=None,
        grouping={"k": 1, "reason": "nothing stands above the null"},
    )  # fmt: skip
    page = page_of(data, tmp_path)
    assert "No groups: no division of these particles stands above" in page.text
    assert "nothing stands above the null" in page.text


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        (
            {"k": 3, "silhouette": 0.6, "null_silhouette_mean": 0.3, "null_silhouette_sd": 0.02},
            True,
        ),
        ({"k": 3, "silhouette": 0.33, "null_silhouette_mean": 0.3}, False),  # 0.03 < 0.06
        ({"k": 3, "margin": 0.1, "null_silhouette_sd": 0.05}, False),  # under three sd
        ({"k": 3, "margin": 0.1, "stands_out": False}, False),
        ({"k": 1, "margin": 0.5}, False),
        ({"k": 3, "silhouette": 0.6}, None),
    ],
)
def test_groups_must_stand_above_the_null(grouping, expected):
    assert stands_out(grouping) is expected
    state = {True: "good", False: "warn", None: "unknown"}[expected]
    assert grouping_verdict(grouping)[0] == state


def test_rows_of_the_lake_are_unpacked():
    tried = [{"k": 2, "silhouette": 0.4, "null_silhouette_sd": 0.07}]
    row = {
        "k": 2, "silhouette": 0.4, "null_silhouette_mean": 0.2, "cophenetic": float("nan"),
        "margin": None, "scores_json": json.dumps({"tried": tried}),
        "settings_json": {"min_margin": 0.15},
    }  # fmt: skip
    found = unpack(row)
    assert found["null_silhouette_sd"] == 0.07
    assert found["tried"] == tried
    assert not {"cophenetic", "margin", "scores_json", "settings_json"} & set(found)
    assert stands_out(found) is False  # 0.2 is under three sd of 0.07
    matrix = unpack({"confusion_json": '{"labels": [1, 2], "counts": [[3, 1], [0, 2]]}'})
    assert matrix == {"confusion": [[3, 1], [0, 2]], "classes": [1, 2]}


def test_weak_groups_are_called_slices(tmp_path):
    weak = {"k": 3, "silhouette": 0.31, "null_silhouette_mean": 0.3, "null_silhouette_sd": 0.02}
    page = page_of(ReportData(title="Weak", particles=pd.DataFrame(), grouping=weak), tmp_path)
    assert "do not stand above structureless data" in page.text


def test_noisy_large_pictures_stay_within_the_budget(report, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (1200, 1200), dtype=np.uint8)
    shots = [
        replace(report.micrographs[0], pixels=noise, labels=np.zeros(noise.shape, np.uint16))
    ] * 10
    files = tmp_path / "files"
    path = build_report(
        ReportData(title="Noise", particles=pd.DataFrame(), micrographs=shots),
        tmp_path / "r.html", figures_dir=files,
    )  # fmt: skip
    overlays = list(files.glob("overlay_*.jpg"))
    assert len(overlays) == 8
    assert sum(p.stat().st_size for p in overlays) <= BUDGET_BYTES
    assert path.stat().st_size < 6_000_000
    assert "8 of 10 micrographs are shown" in Page(path.read_text(encoding="utf-8")).text


def test_groups_given_by_a_classifier_are_told(report, tmp_path):
    groups = report.particles["shape_group"].astype("Int64")
    groups[:5] = pd.NA
    particles = report.particles.assign(
        shape_group=groups,
        shape_group_source=["classifier"] * 12 + ["grouping"] * (len(groups) - 12),
        shape_group_reason=["too far from every group"] * 5 + [None] * (len(groups) - 5),
    )
    page = page_of(replace(report, particles=particles), tmp_path)
    assert "7 particles were put in a group by the classifier" in page.text
    assert "5 particles without a group (5 too far from every group)." in page.text


def test_particles_bound_to_be_wrong_are_told(report, tmp_path):
    told = {**report.classifier, "unseen_share_experiment": 0.366, "null_cv_accuracy_mean": 0.912}
    page = page_of(replace(report, classifier={**told, "cv_accuracy_mean": 0.993}), tmp_path)
    assert "37 % of the particles are of a group that no other experiment has" in page.text
    assert "Cross-validation 99.3 % 91.2 %" in page.text


def test_many_failures_are_cut_and_counted(tmp_path):
    rows = [(f"{i}.tif", "ingest", "empty", "no bytes") for i in range(230)]
    failures = pd.DataFrame(rows, columns=["path", "stage", "reason", "message"])
    data = ReportData(title="Failures", particles=pd.DataFrame(), failures=failures)
    page = page_of(data, tmp_path)
    assert "The first 200 of 230 failures." in page.text
    assert "230 files have failed" in page.text


def test_bad_input_is_named(report, tmp_path):
    with pytest.raises(ReportError, match=r"ending in \.html"):
        build_report(report, tmp_path / "report.pdf")
    words = report.particles.assign(p="curved")
    with pytest.raises(ReportError, match="column p"):
        build_report(replace(report, particles=words), tmp_path / "report.html")
