import numpy as np
import pytest

from mmdualhead.datasets import open_annotations, write_store
from mmdualhead.datasets.annotations.files import check_split, completed_by
from mmdualhead.errors import Level, UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import COCO, KINECT_V1
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
    assert check_split(file, 'train', NetworkInput()).findings == []


def test_a_clip_on_both_sides_of_a_protocol(write):
    data = make_data()
    data['split']['val'] += data['split']['train'][:2]
    data['split']['other_val'] = data['split']['train']
    path = write(data)
    (error,) = check_split(open_annotations(path), 'train', NetworkInput()).findings
    assert str(error).splitlines() == [
        f"{path}, split 'train', split: expected no clip in both 'train' and 'val'; 2 clips differ:",
        *(f'    {name}: in both' for name in data['split']['train'][:2]),
    ]


def test_a_test_clip_whose_keypoints_are_those_of_a_training_clip_is_noted(write):
    data = make_data()
    by_name = {clip['frame_dir']: clip for clip in data['annotations']}
    train, val = data['split']['train'], data['split']['val']
    twin = by_name[train[2]]
    by_name[val[1]].update(keypoint=twin['keypoint'].copy(), total_frames=twin['total_frames'])
    near = by_name[train[0]]
    by_name[val[0]].update(keypoint=near['keypoint'][..., ::-1].copy(), total_frames=near['total_frames'])
    file = open_annotations(write(data))
    (warning,) = check_split(file, 'val', NetworkInput()).findings
    assert warning.level is Level.WARNING
    assert f'{val[1]}: equals {train[2]}' in str(warning)
    assert 'the other 5 clips' in str(warning)
    assert check_split(file, 'train', NetworkInput()).findings == []


def test_a_subject_of_the_training_who_is_tested_is_noted(write):
    data = make_data()
    for number, clip in enumerate(data['annotations']):
        clip['subject'] = f'p{number // 3}' if number < 6 else f'p{number}'
    (warning,) = check_split(open_annotations(write(data)), 'val', NetworkInput()).findings
    assert warning.level is Level.WARNING
    assert [line.strip() for line in str(warning).splitlines()[1:4]] == [
        'S001: subject p0',
        'S003: subject p1',
        'S005: subject p1',
    ]


def test_clips_without_anybody_are_left_out(write):
    annotations = make_annotations()
    annotations[4]['keypoint'] *= 0
    checked = check_split(open_annotations(write(make_data(annotations))), 'train', NetworkInput())
    assert [clip['frame_dir'] for clip in checked.clips] == ['S000', 'S002', 'S006', 'S008', 'S010']
    assert len(checked.table.label) == 6


def test_a_list_of_clips_has_parts(write):
    clips = open_annotations(write(make_data())).select('train')
    names = [clip['frame_dir'] for clip in clips]
    for part in (slice(1, 3), np.array([1, 2]), np.arange(6) // 2 == 1):
        expected = [name for i, name in enumerate(names) if i in np.arange(6)[part]]
        assert [clip['frame_dir'] for clip in clips[part]] == expected
    assert clips.facts().persons.tolist() == [1] * 6
    assert [info['frame_dir'] for info in clips.infos()] == names


def test_the_file_completes_what_a_network_takes(write):
    file = open_annotations(write(make_data(meta=dict(layout='coco', classes=['a', 'b', 'c']))))
    found = completed_by(file, NetworkInput(num_classes=5), 4)
    assert (found.skeleton, found.num_classes, found.classes) == (COCO, 3, ('a', 'b', 'c'))
    with pytest.raises(UserError, match=r"different skeleton layouts \(pipeline: 'kinect_v1', .*'coco'\)"):
        completed_by(file, NetworkInput(skeleton=KINECT_V1))


def test_names_without_annotation_and_with_two(tmp_path):
    data = make_data()
    data['split']['train'] += ['absent', 'gone']
    data['annotations'] += [make_clip(seed=2, label=3), make_clip(seed=4)]
    found = check_split(open_annotations(save(tmp_path, data)), 'train', NetworkInput()).findings
    assert [finding.text.splitlines() for finding in found] == [
        [
            "expected an annotation for every name in 'train'; 2 clips differ:",
            '    absent: no annotation',
            '    gone: no annotation',
        ],
        [
            'expected one annotation per name; 2 clips differ:',
            "    S002: 2 annotations, labels ['2', '3']",
            "    S004: 2 annotations, labels ['0', '0']",
        ],
    ]


def test_an_annotation_without_a_name_is_found(tmp_path):
    data = make_data()
    del data['annotations'][5]['frame_dir']
    (error,) = check_split(open_annotations(save(tmp_path, data)), 'train', NetworkInput()).findings
    assert error.where.endswith(', frame_dir')


def test_filename_serves_as_the_name_where_the_first_annotation_has_one(tmp_path):
    data = make_data()
    for clip in data['annotations']:
        clip['filename'] = clip.pop('frame_dir')
    checked = check_split(open_annotations(save(tmp_path, data)), 'val', NetworkInput())
    assert checked.findings == []
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
