"""Names of classes: as many as the data sets have, each once, and in every checkpoint."""

from __future__ import annotations

import pickle

import pytest

from mmdualhead.datasets import SkeletonDataset
from mmdualhead.datasets.class_names import CLASS_NAMES, class_names
from tests.datasets.clips import PIPELINE, make_data


@pytest.mark.parametrize(
    ('dataset', 'number', 'some'),
    [
        ('ntu60', 60, {0: 'drink water', 49: 'punch or slap', 59: 'walking apart'}),
        ('ntu120', 120, {0: 'drink water', 60: 'put on headphone'}),
        ('kinetics', 400, {0: 'abseiling', 399: 'zumba'}),
        ('utd_mhad', 27, {0: 'swipe left', 26: 'squat'}),
        ('nw_ucla', 10, {0: 'pick up with one hand', 9: 'carry'}),
        ('msr_action3d', 20, {0: 'high arm wave', 19: 'pick up and throw'}),
    ],
)
def test_names(dataset, number, some):
    names = CLASS_NAMES[dataset]
    assert len(names) == len(set(names)) == number
    assert {i: names[i] for i in some} == some


def test_by_the_name_of_a_file():
    assert class_names('ntu60_3d', 60) is CLASS_NAMES['ntu60']
    assert class_names('ntu60_3d', 61) is None
    assert class_names('mine', 60) is None


class TestMetainfo:
    """What MMEngine writes into every checkpoint as ``meta['dataset_meta']``."""

    def build(self, path, data, **options):
        path.write_bytes(pickle.dumps(data))
        return SkeletonDataset(str(path), PIPELINE, split='train', **options).metainfo

    def test_is_what_the_converter_said(self, tmp_path):
        meta = dict(dataset='mine', layout='nturgb+d', classes=['a', 'b', 'c', 'd'], left_out={})
        found = self.build(tmp_path / 'ntu60_x.pkl', make_data(meta=meta), num_classes=4)
        assert found == dict(dataset='mine', layout='nturgb+d', classes=['a', 'b', 'c', 'd'])

    def test_names_a_known_data_set_by_its_file(self, tmp_path):
        assert (
            self.build(tmp_path / 'ntu60_3d.pkl', make_data(), num_classes=60)['classes'][59]
            == 'walking apart'
        )

    def test_says_nothing_that_is_not_known(self, tmp_path):
        assert self.build(tmp_path / 'x.pkl', make_data()) == {}
