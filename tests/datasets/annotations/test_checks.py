import numpy as np
import pytest

from mmdualhead.datasets.annotations.checks import (
    SHOWN,
    AnnotationError,
    Expectation,
    Finding,
    Report,
    check_meta,
    check_table,
    mean_square,
    tabulate,
)
from tests.datasets.clips import make_annotations, make_clip


def check(clips, **expected):
    table, malformed = tabulate(clips)
    assert not malformed
    return check_table(table, Expectation(**expected), clips.__getitem__)


def test_good_clips_pass_without_a_word():
    report, usable = check(make_annotations(), num_classes=4, num_joints=25, num_coordinates=3, num_person=2)
    assert report == Report()
    assert usable.all()


def malformed(**change):
    """(field, found) of a clip with these fields, None for those to leave out."""
    clip = {key: value for key, value in (make_clip(seed=1) | change).items() if value is not None}
    _, findings = tabulate([make_clip(), clip])
    return {finding.field: finding.clips[0][1] for finding in findings}


@pytest.mark.parametrize('label', [1.0, '1', True, np.bool_(1), np.array([1]), [1], np.nan, 2**80])
def test_labels_that_are_no_integers(label):
    assert list(malformed(label=label)) == ['label']


@pytest.mark.parametrize('label', [1, np.int64(1), np.uint8(1), np.array(1)])
def test_labels_that_are(label):
    assert malformed(label=label) == {}


@pytest.mark.parametrize('field', ['frame_dir', 'label', 'keypoint'])
def test_missing_fields(field):
    assert 'missing' in malformed(**{field: None})[field]


@pytest.mark.parametrize(
    'keypoint', [[[1]], np.zeros((30, 25, 3)), np.zeros((1, 30, 25, 3), bool), np.array([['x']]), 'abc']
)
def test_keypoints_that_are_no_array_of_four_dimensions(keypoint):
    assert list(malformed(keypoint=keypoint)) == ['keypoint']


@pytest.mark.parametrize('name', [7, ['a'], b'a'])
def test_names_that_are_no_strings(name):
    assert malformed(frame_dir=name) == {'frame_dir': f'{name!r} ({type(name).__name__})'}
    assert list(malformed(frame_dir=None, filename=name)) == ['frame_dir']
    assert malformed(frame_dir=None, filename='a') == {}


def test_shapes_that_disagree():
    assert malformed(total_frames=None) == {}
    assert '7' in malformed(total_frames=7)['total_frames']
    assert '(1, 29, 25)' in malformed(keypoint_score=np.zeros((1, 29, 25)))['keypoint_score']
    assert '(1, 0, 25, 3)' in malformed(keypoint=np.zeros((1, 0, 25, 3)), total_frames=0)['keypoint']
    _, findings = tabulate(['no dict'])
    assert findings[0].clips == (('#0', 'str'),)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_non_finite_numbers_are_located(value, dtype):
    clips = make_annotations(6)
    clips[3]['keypoint'] = clips[3]['keypoint'].astype(dtype)
    clips[3]['keypoint'][1, 7, 5, 2] = value
    report, _ = check(clips)
    (fault,) = report.faults
    assert fault.count == 1
    assert fault.clips == (('S003', f'{value} at person 1, frame 7, joint 5, channel 2; 1 in all'),)


def test_huge_finite_numbers_are_not_called_infinite():
    assert np.isfinite(mean_square(np.full((1, 2, 3, 3), 1e30, np.float32)))
    assert np.isfinite(mean_square(np.full((1, 2, 3, 3), 1e300)))
    assert mean_square(np.full((2, 2), 3, np.int64)) == 9


@pytest.mark.parametrize('label', [4, -1, -100])
def test_label_out_of_range(label):
    clips = make_annotations(6)
    clips[2]['label'] = label
    report, _ = check(clips, num_classes=4)
    assert [(fault.field, fault.clips) for fault in report.faults] == [('label', (('S002', str(label)),))]
    assert bool(check(clips)[0].faults) == (label < 0)


def test_other_joints_or_coordinates_than_the_layout_or_the_rest():
    clips = [*make_annotations(6), make_clip(joints=17, seed=6), make_clip(seed=7)]
    clips[7]['keypoint'] = clips[7]['keypoint'][..., :2]
    faults = check(clips)[0].faults
    assert [fault.clips[0] for fault in faults] == [
        ('S006', 'shape (1, 30, 17, 3)'),
        ('S007', 'shape (1, 30, 25, 2)'),
    ]
    (fault,) = check(make_annotations(6), num_joints=17, layout='coco')[0].faults
    assert fault.count == 6
    assert '17 joints' in fault.expected
    assert "'coco'" in fault.expected


def test_many_faults_show_the_first_few_and_the_count():
    clips = make_annotations(20)
    for clip in clips:
        clip['label'] = 99
    (fault,) = check(clips, num_classes=4)[0].faults
    assert fault.count == 20
    assert [name for name, _ in fault.clips] == [f'S{i:03d}' for i in range(SHOWN)]
    with pytest.raises(
        AnnotationError, match=rf'x\.pkl: 1 kind of fault(.|\n)*20 clips(.|\n)*and {20 - SHOWN} more'
    ):
        Report([fault]).raise_faults('x.pkl')
    Report(notes=[fault]).raise_faults('x.pkl')


def test_empty_clips_are_left_out_of_training_and_kept_in_tests():
    clips = make_annotations(6)
    clips[1]['keypoint'] = np.zeros_like(clips[1]['keypoint'])
    clips[4]['keypoint'] = clips[4]['keypoint'][:0]
    for training, kept in ((True, 4), (False, 6)):
        report, usable = check(clips, training=training)
        assert not report.faults
        assert report.notes[0].clips == (('S001', 'nobody, or all zero'), ('S004', 'nobody, or all zero'))
        assert len(report.notes) == 1
        assert ('left out' if training else 'kept') in report.notes[0].advice
        assert usable.sum() == kept


def test_the_longest_clip_may_be_as_long_as_padding_allows():
    clips = [make_clip(frames=30), make_clip(frames=31, seed=1)]
    (fault,) = check(clips, max_frames=30)[0].faults
    assert fault.clips == (('S001', '31'),)
    assert check(clips, max_frames=31)[0].faults == []


def test_two_frames_are_no_still():
    clips = [make_clip(), make_clip(frames=2, seed=1)]
    assert check(clips)[0].notes == []


def test_single_frames_and_extra_persons_are_said():
    clips = [*make_annotations(6), make_clip(1, 1, seed=6), make_clip(3, 9, seed=7)]
    report, usable = check(clips, num_person=2)
    assert [note.clips for note in report.notes] == [(('S006', '1 frame'),), (('S007', '3'),)]
    assert usable.all()


@pytest.mark.parametrize('factor', [1e6, 1e-6])
def test_outliers_are_said(factor):
    clips = make_annotations(6)
    clips[2]['keypoint'] = clips[2]['keypoint'] * factor
    (note,) = check(clips)[0].notes
    assert note.clips[0][0] == 'S002'
    assert 'times as large' in note.clips[0][1]


def test_small_units_and_many_empty_clips_are_no_outliers():
    clips = make_annotations(9)
    for clip in clips:
        clip['keypoint'] = clip['keypoint'] * 1e-4
    assert check(clips)[0].notes == []
    clips[8]['keypoint'] = clips[8]['keypoint'] * 1e3
    assert [note.clips[0][0] for note in check(clips)[0].notes] == ['S008']
    clips[8]['keypoint'] = clips[8]['keypoint'] / 1e3
    for clip in clips[:6]:
        clip['keypoint'] = np.zeros_like(clip['keypoint'])
    assert [note.expected for note in check(clips)[0].notes] == ['somebody to be seen']


def test_one_joint_far_away_is_an_outlier_too():
    clips = make_annotations(6)
    clips[2]['keypoint'][0, 3, 4, 1] = 1e6
    (note,) = check(clips)[0].notes
    assert note.clips[0][0] == 'S002'


def test_a_finding_reads_as_a_sentence():
    finding = Finding('label', '0..3', (('a', '7'),), 1200, 'Mend it.')
    assert str(finding).splitlines() == [
        '* label: expected 0..3, found otherwise in 1,200 clips:',
        '    a: 7',
        '    ... and 1199 more',
        '  Mend it.',
    ]


@pytest.mark.fault('keypoint_score in some clips only', 'padded with zeros', 'refused, names clips')
def test_scores_in_some_clips_only_are_a_fault():
    clips = make_annotations(4)
    for clip in clips[:3]:
        clip['keypoint_score'] = np.ones(clip['keypoint'].shape[:3], np.float32)
    _, (fault,) = tabulate(clips)
    assert str(fault).splitlines()[:2] == [
        '* keypoint_score: expected scores in all clips of a split or in none, found otherwise in 1 clip:',
        '    S003: missing',
    ]
    assert tabulate(clips[:3])[1] == tabulate(clips[3:])[1] == []


@pytest.mark.fault('clips stored as (T, M, V, C)', '-', 'refused where M and T can be told')
def test_frames_before_persons_are_a_fault():
    clips = [make_clip(persons=40, frames=2, seed=seed) for seed in range(3)]
    report, _ = check(clips)
    assert 'shape (40, 2, 25, 3), which reads as (T, M, V, C)' in str(report.faults[0])


@pytest.mark.parametrize('number', [1, 6])
def test_coordinates_that_no_person_has_are_located(number):
    clips = make_annotations(6)
    for clip in clips[:number]:
        clip['keypoint'][0, 3, 4, 1] = -1e30
    report, _ = check(clips)
    (fault,) = report.faults
    assert fault.count == number
    assert (
        str(fault).splitlines()[1]
        == '    S000: -1.0000000150474662e+30 at person 0, frame 3, joint 4, channel 1'
    )


@pytest.mark.parametrize(
    ('meta', 'said'),
    [
        ([1], r'meta: expected a dict, found a list'),
        ('layout', r'meta: expected a dict, found a str'),
        (dict(layout=['coco']), r"meta\.layout: expected a name or a definition, found \['coco'\]"),
        (dict(layout=dict(joints=2, bones=[(1, 5)])), r'meta\.layout: skeleton .*outside 0\.\.1'),
        (dict(layout=dict(joints=2)), r'meta\.layout: .*bones'),
        (dict(classes=27), r'meta\.classes: expected a list of names, found 27'),
        (dict(classes=['a', 'b', 'a']), r"meta\.classes: expected different names, found \['a', 'a'\]"),
        (dict(classes=['a', 2]), r'meta\.classes: expected different names, found \[2\]'),
        (
            dict(classes=['a', 'b\0c']),
            r"meta\.classes: expected names without NUL bytes, found \['b\\x00c'\]",
        ),
        (dict(normalized='False'), r"meta\.normalized: expected True or False, found 'False'"),
        (dict(dataset=7), r'meta\.dataset: expected a name, found 7'),
    ],
)
def test_meta_of_a_wrong_kind(meta, said):
    with pytest.raises(AnnotationError, match=f'^{said}'):
        check_meta(meta)


def test_meta_with_everything():
    meta = dict(
        dataset='a', layout=dict(joints=2, bones=[(1, 0)]), classes=('a', 'b'), normalized=True, own=7
    )
    assert check_meta(meta) == meta
    assert check_meta(None) == {}
    assert check_meta(dict(layout=None, classes=None)) == dict(layout=None, classes=None)
