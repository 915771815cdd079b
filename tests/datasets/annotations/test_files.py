import numpy as np
import pytest

from mmdualhead.datasets import open_annotations, write_store
from mmdualhead.datasets.annotations.checks import Expectation
from mmdualhead.datasets.annotations.files import check_split
from tests.datasets.clips import make_annotations, make_clip, make_data, save


@pytest.fixture(params=['pickle', 'store'])
def write(request, tmp_path):
    """Writes an annotation file of either kind."""

    def write(data):
        if request.param == 'pickle':
            return save(tmp_path, data)
        write_store(tmp_path / 'data.store', data)
        return tmp_path / 'data.store'

    return write


def test_both_kinds_mean_the_same(write):
    data = make_data(meta=dict(layout='nturgb+d'))
    file = open_annotations(write(data))
    assert file.splits == ['train', 'val']
    assert file.meta == data['meta']
    np.testing.assert_equal(list(file.select('val')), data['annotations'][1::2])
    assert check_split(file, 'train', Expectation()).report.faults == []


def test_a_clip_on_both_sides_of_a_protocol(write):
    data = make_data()
    data['split']['val'] += data['split']['train'][:2]
    data['split']['other_val'] = data['split']['train']
    report = check_split(open_annotations(write(data)), 'train', Expectation()).report
    (fault,) = report.faults
    assert fault.count == 2
    assert fault.expected == "no clip in both 'train' and 'val'"
    assert [name for name, _ in fault.clips] == data['split']['train'][:2]


def test_a_test_clip_whose_keypoints_are_those_of_a_training_clip_is_noted(write):
    data = make_data()
    by_name = {clip['frame_dir']: clip for clip in data['annotations']}
    train, val = data['split']['train'], data['split']['val']
    twin = by_name[train[2]]
    by_name[val[1]].update(keypoint=twin['keypoint'].copy(), total_frames=twin['total_frames'])
    near = by_name[train[0]]
    by_name[val[0]].update(keypoint=near['keypoint'][..., ::-1].copy(), total_frames=near['total_frames'])
    file = open_annotations(write(data))
    report = check_split(file, 'val', Expectation()).report
    (note,) = report.notes
    assert report.faults == []
    assert note.clips == ((val[1], f'equals {train[2]}'),)
    assert 'the other 5 clips' in str(note)
    assert check_split(file, 'train', Expectation()).report.notes == []


def test_a_subject_of_the_training_who_is_tested_is_noted(write):
    data = make_data()
    for number, clip in enumerate(data['annotations']):
        clip['subject'] = f'p{number // 3}' if number < 6 else f'p{number}'
    report = check_split(open_annotations(write(data)), 'val', Expectation()).report
    (note,) = report.notes
    assert note.clips == (('S001', 'subject p0'), ('S003', 'subject p1'), ('S005', 'subject p1'))
    assert report.faults == []


def test_clips_without_anybody_are_left_out(write):
    annotations = make_annotations()
    annotations[4]['keypoint'] *= 0
    checked = check_split(open_annotations(write(make_data(annotations))), 'train', Expectation())
    assert [clip['frame_dir'] for clip in checked.clips] == ['S000', 'S002', 'S006', 'S008', 'S010']
    assert len(checked.table.label) == 6


def test_names_without_annotation_and_with_two(tmp_path):
    data = make_data()
    data['split']['train'] += ['absent', 'gone']
    data['annotations'] += [make_clip(seed=2, label=3), make_clip(seed=4)]
    report = check_split(open_annotations(save(tmp_path, data)), 'train', Expectation()).report
    found = {fault.expected: fault for fault in report.faults}
    assert found["an annotation for every name in 'train'"].clips == (
        ('absent', 'no annotation'),
        ('gone', 'no annotation'),
    )
    twice = found['one annotation per name']
    assert twice.clips == (
        ('S002', "2 annotations, labels ['2', '3']"),
        ('S004', "2 annotations, labels ['0', '0']"),
    )


def test_an_annotation_without_a_name_is_found(tmp_path):
    data = make_data()
    del data['annotations'][5]['frame_dir']
    report = check_split(open_annotations(save(tmp_path, data)), 'train', Expectation()).report
    assert [fault.field for fault in report.faults] == ['frame_dir']


def test_filename_serves_as_the_name_where_the_first_annotation_has_one(tmp_path):
    data = make_data()
    for clip in data['annotations']:
        clip['filename'] = clip.pop('frame_dir')
    checked = check_split(open_annotations(save(tmp_path, data)), 'val', Expectation())
    assert checked.report.faults == []
    assert len(checked.clips) == 6


@pytest.mark.parametrize(
    ('data', 'found'),
    [
        ([3], 'a list'),
        (dict(annotations=[]), r"keys \['annotations'\]"),
        (dict(split=dict(train=[]), annotations={}), 'annotations is a dict'),
        (dict(split=['train'], annotations=[]), 'split is a list'),
        (dict(split=dict(train='S001'), annotations=[]), "split 'train' is a str"),
        (dict(split=dict(train=['a', 7]), annotations=[]), "7 in split 'train' is a int"),
        (None, 'a NoneType'),
    ],
)
def test_other_formats_are_refused(tmp_path, data, found):
    path = save(tmp_path, data)
    with pytest.raises(ValueError, match=rf'{path}: expected dict\(split=.*{found}'):
        open_annotations(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_annotations(tmp_path / 'absent.pkl')
