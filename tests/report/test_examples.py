"""Particles cut for the montages: the right ones, by group, from few enough pictures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nanolake.report import GROUP_COLOURS, Crop, ReportData, ReportError, cut_crop, mosaic
from nanolake.report.colours import rgb
from nanolake.report.content import Content
from nanolake.report.examples import COLUMNS, MOST_PICTURES, _pictures, _sample, examples


def crop(grey):
    return Crop(np.full((20, 20), grey, np.uint8), np.zeros((20, 20), bool))


def test_a_mosaic_frames_each_particle_in_its_groups_colour():
    picture = mosaic({1: [crop(10), crop(20)], 2: [crop(30)]}, tile_px=20, columns=2)
    assert picture.shape == (40, 40, 3)
    assert tuple(picture[1, 10]) == rgb(GROUP_COLOURS[0])
    assert tuple(picture[1, 30]) == rgb(GROUP_COLOURS[0])
    assert tuple(picture[21, 10]) == rgb(GROUP_COLOURS[1])
    assert [picture[y, x, 0] for y, x in ((10, 10), (10, 30), (30, 10))] == [10, 20, 30]
    assert (picture[20:, 20:] == 255).all()  # nothing left to draw
    with pytest.raises(ReportError, match="at least one"):
        mosaic({1: []})


def test_a_crop_by_its_box_is_the_crop_by_its_label():
    labels = np.zeros((60, 80), np.uint16)
    labels[5:25, 60:79], labels[30:40, 3:9] = 4, 9
    pixels = np.random.default_rng(0).integers(0, 255, labels.shape, dtype=np.uint8)
    for label, box in ((4, (5, 60, 25, 79)), (9, (30, 3, 40, 9))):
        found, asked = cut_crop(pixels, labels, label, box=box), cut_crop(pixels, labels, label)
        assert (found.pixels == asked.pixels).all()
        assert (found.mask == asked.mask).all()


def test_both_montages_of_a_toy_sample(report):
    found = examples(Content(report))
    assert found.of_all.shape[1] == COLUMNS * 44
    assert found.of_all_caption == f"All {len(report.particles)} particles."
    assert found.by_group_caption == ""
    assert found.by_group.shape[0] == 3 * (112 + 20 + 6)  # three groups


def test_pictures_are_read_one_by_one_and_only_those_needed(report):
    asked = []

    def read(ids):
        asked.extend(ids)
        for shot in report.micrographs:
            if shot.micrograph_id in ids:
                yield shot.micrograph_id, shot.pixels, shot.labels

    data = replace(report, micrographs=(), open_pictures=read)
    found = examples(Content(data))
    assert sorted(asked) == sorted(shot.micrograph_id for shot in report.micrographs)
    assert (found.of_all == examples(Content(report)).of_all).all()


def test_of_many_pictures_few_are_chosen_and_every_group_is_among_them():
    names = np.repeat([f"m{i:03d}" for i in range(200)], 5)
    groups = np.ones(1000, np.int64)
    groups[993] = 2  # one particle, in m198
    chosen = _pictures(names, groups)
    assert len(chosen) == len(set(chosen)) == MOST_PICTURES
    assert "m198" in chosen


def test_the_sample_of_all_keeps_the_groups_shares():
    groups = np.repeat([1, 2, 0], [9000, 999, 1])
    found = _sample(groups, np.ones(10_000, bool))
    assert {group: places.size for group, places in found.items()} == {1: 324, 2: 36, 0: 1}
    assert all((groups[places] == group).all() for group, places in found.items())


def test_nothing_to_cut_gives_no_montage(report):
    assert examples(Content(replace(report, micrographs=()))) is None
    assert examples(Content(ReportData(title="x", particles=pd.DataFrame()))) is None
    gone = report.particles.assign(label=60_000)
    assert examples(Content(replace(report, particles=gone))) is None
