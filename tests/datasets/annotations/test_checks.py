import numpy as np
import pytest

from mmdualhead.datasets import SkeletonDataset
from mmdualhead.datasets.annotations.checks import check_clips, check_meta
from mmdualhead.datasets.annotations.clips import ClipList, describe_clips, mean_square, tabulate
from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.errors import Level, UserError, report
from mmdualhead.network_input import NetworkInput, Sampling
from mmdualhead.skeletons import BODY, COCO, KINECT_V1, NTU
from mmdualhead.utils.text import SHOWN
from tests.datasets.clips import make_annotations, make_clip, make_data, save


def check(clips, training=True, **network_input):
    clips = ClipList(clips)
    table, malformed = clips.table()
    assert not malformed
    return check_clips(clips, table, NetworkInput(**network_input), training=training)


def lines(finding):
    """(field and what is expected, each clip and what was found, advice)."""
    head, *rest = str(finding).splitlines()
    return head, [line.strip() for line in rest if line.startswith('    ')], rest[-1].strip()


def named(finding):
    """What was found, by clip."""
    return dict(line.split(': ', 1) for line in lines(finding)[1] if ': ' in line)


def test_good_clips_pass_without_a_word():
    assert check(make_annotations(), num_classes=4, skeleton=NTU, normalization='3d', num_person=2) == []


def malformed(**change):
    """(field, found) of a clip with these fields, None for those to leave out."""
    clip = {key: value for key, value in (make_clip(seed=1) | change).items() if value is not None}
    _, findings = tabulate([make_clip(), clip])
    return {finding.where: next(iter(named(finding).values())) for finding in findings}


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
    assert named(findings[0]) == {'#0': 'str'}


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_non_finite_numbers_are_located(value, dtype):
    clips = make_annotations(6)
    clips[3]['keypoint'] = clips[3]['keypoint'].astype(dtype)
    clips[3]['keypoint'][1, 7, 5, 2] = value
    (error,) = check(clips)
    assert named(error) == {'S003': f'{value} at person 1, frame 7, joint 5, channel 2; 1 in all'}


def test_huge_finite_numbers_are_not_called_infinite():
    assert np.isfinite(mean_square(np.full((1, 2, 3, 3), 1e30, np.float32)))
    assert np.isfinite(mean_square(np.full((1, 2, 3, 3), 1e300)))
    assert mean_square(np.full((2, 2), 3, np.int64)) == 9


@pytest.mark.parametrize('label', [4, -1, -100])
def test_label_out_of_range(label):
    clips = make_annotations(6)
    clips[2]['label'] = label
    (error,) = check(clips, num_classes=4)
    assert error.where == 'label'
    assert named(error) == {'S002': str(label)}
    assert bool(check(clips)) == (label < 0)


def test_other_joints_or_coordinates_than_the_layout_or_the_rest():
    clips = [*make_annotations(6), make_clip(joints=17, seed=6), make_clip(seed=7)]
    clips[7]['keypoint'] = clips[7]['keypoint'][..., :2]
    assert list(map(named, check(clips))) == [
        {'S006': 'shape (1, 30, 17, 3)'},
        {'S007': 'shape (1, 30, 25, 2)'},
    ]
    (error,) = check(make_annotations(6), skeleton=COCO)
    assert lines(error)[0] == "keypoint: expected 17 joints (layout 'coco'); 6 clips differ:"
    (error,) = check(clips[7:], normalization='3d')
    assert lines(error)[0] == 'keypoint: expected 3 coordinates (for 3-D normalization); 1 clip differs:'


def test_many_faults_show_the_first_few_and_the_count():
    clips = make_annotations(20)
    for clip in clips:
        clip['label'] = 99
    (error,) = check(clips, num_classes=4)
    assert [line[:4] for line in lines(error)[1][:-1]] == [f'S{i:03d}' for i in range(SHOWN)]
    with pytest.raises(UserError, match=rf'label: (.|\n)*20 clips(.|\n)*\.\.\. and {20 - SHOWN} more'):
        report([error], warn=str)


def test_empty_clips_are_named():
    clips = make_annotations(6)
    clips[1]['keypoint'] = np.zeros_like(clips[1]['keypoint'])
    clips[4]['keypoint'] = clips[4]['keypoint'][:0]
    for training, fate in ((True, 'skipped'), (False, 'kept')):
        (warning,) = check(clips, training=training)
        assert warning.level is Level.WARNING
        assert named(warning) == dict.fromkeys(('S001', 'S004'), 'no person (all zeros)')
        assert fate in lines(warning)[2]


def test_the_longest_clip_may_be_as_long_as_padding_allows():
    clips = [make_clip(frames=30), make_clip(frames=31, seed=1)]
    (error,) = check(clips, sampling=Sampling(length=30, cuts=False))
    assert named(error) == {'S001': '31'}
    assert 'ReplayPad(length=30)' in lines(error)[2]
    assert check(clips, sampling=Sampling(length=31, cuts=False)) == []
    assert check(clips, sampling=Sampling(length=30)) == []


def test_two_frames_are_no_still():
    clips = [make_clip(), make_clip(frames=2, seed=1)]
    assert check(clips) == []


def test_single_frames_and_extra_persons_are_said():
    clips = [*make_annotations(6), make_clip(1, 1, seed=6), make_clip(3, 9, seed=7)]
    assert list(map(named, check(clips, num_person=2))) == [{'S006': '1 frame'}, {'S007': '3'}]


@pytest.mark.parametrize('factor', [1e6, 1e-6])
def test_outliers_are_said(factor):
    clips = make_annotations(6)
    clips[2]['keypoint'] = clips[2]['keypoint'] * factor
    (warning,) = check(clips)
    assert list(named(warning)) == ['S002']
    assert 'times as large' in named(warning)['S002']


def test_small_units_and_many_empty_clips_are_no_outliers():
    clips = make_annotations(9)
    for clip in clips:
        clip['keypoint'] = clip['keypoint'] * 1e-4
    assert check(clips) == []
    clips[8]['keypoint'] = clips[8]['keypoint'] * 1e3
    assert [list(named(warning)) for warning in check(clips)] == [['S008']]
    clips[8]['keypoint'] = clips[8]['keypoint'] / 1e3
    for clip in clips[:6]:
        clip['keypoint'] = np.zeros_like(clip['keypoint'])
    assert ['at least one visible person' in str(warning) for warning in check(clips)] == [True]


def test_one_joint_far_away_is_an_outlier_too():
    clips = make_annotations(6)
    clips[2]['keypoint'][0, 3, 4, 1] = 1e6
    (warning,) = check(clips)
    assert list(named(warning)) == ['S002']


def test_a_finding_reads_as_a_sentence():
    clips = [('a', '7'), *[('b', '8')] * 1199]
    (finding,) = describe_clips(Level.ERROR, 'label', '0..3', clips, tuple, 'Mend it.')
    assert str(finding).splitlines() == [
        'label: expected 0..3; 1,200 clips differ:',
        '    a: 7',
        *['    b: 8'] * 4,
        '    ... and 1,195 more',
        '  Mend it.',
    ]


@pytest.mark.fault('keypoint_score in some clips only', 'padded with zeros', 'refused, names clips')
def test_scores_in_some_clips_only_are_a_fault():
    clips = make_annotations(4)
    for clip in clips[:3]:
        clip['keypoint_score'] = np.ones(clip['keypoint'].shape[:3], np.float32)
    _, (fault,) = tabulate(clips)
    assert str(fault).splitlines()[:2] == [
        'keypoint_score: expected scores in all clips of a split or in none; 1 clip differs:',
        '    S003: missing',
    ]
    assert tabulate(clips[:3])[1] == tabulate(clips[3:])[1] == []


@pytest.mark.fault('clips stored as (T, M, V, C)', '-', 'refused where M and T can be told')
def test_frames_before_persons_are_a_fault():
    clips = [make_clip(persons=40, frames=2, seed=seed) for seed in range(3)]
    assert 'shape (40, 2, 25, 3), which looks like (T, M, V, C)' in str(check(clips)[0])


@pytest.mark.parametrize('number', [1, 6])
def test_coordinates_that_no_person_has_are_located(number):
    clips = make_annotations(6)
    for clip in clips[:number]:
        clip['keypoint'][0, 3, 4, 1] = -1e30
    (error,) = check(clips)
    assert len(named(error)) == min(number, SHOWN)
    assert named(error)['S000'] == '-1.0000000150474662e+30 at person 0, frame 3, joint 4, channel 1'


def pixels(number=6, img_shape=(480, 640), **fields):
    """Clips of 2-D joints in pixels."""
    clips = make_annotations(number, joints=17)
    for clip in clips:
        seen = clip['keypoint'][..., :2]
        clip['keypoint'] = (320, 240) + 100 * (seen - seen.mean())
        clip |= dict(img_shape=img_shape) | fields
    return clips


def in_pixels(clips, **network_input):
    return check(clips, **dict(normalization='2d', skeleton=COCO) | network_input)


@pytest.mark.fault(
    'clips in pixels without the size of the picture', 'normalized by 1920 x 1080', 'refused, names clips'
)
def test_a_clip_without_the_picture_that_it_is_normalized_by_is_an_error():
    clips = pixels()
    assert in_pixels(clips) == []
    del clips[3]['img_shape']
    clips[4]['img_shape'] = (480, 0)
    (error,) = in_pixels(clips)
    assert error.where == 'img_shape'
    assert named(error) == {'S003': 'missing', 'S004': '(480, 0)'}
    assert '--img-shape HEIGHT WIDTH' in lines(error)[2]
    assert named(in_pixels(clips, img_shape=(480, 640))[0]) == {'S004': '(480, 0)'}
    assert in_pixels(clips, normalization='') == []


@pytest.mark.fault(
    'joints of 0 to 1 with the size of a picture, or its height and width exchanged',
    'normalized to about -1, or out of -1..1',
    'refused, names clips; warned of where few clips are so',
)
def test_joints_that_are_not_in_pixels_of_their_picture():
    clips = pixels()
    clips[2]['keypoint'] = clips[2]['keypoint'] / 640
    (warning, _) = in_pixels(clips)
    assert warning.level is Level.WARNING
    assert 'are the joints in pixels?' in named(warning)['S002']
    for clip in clips[:2] + clips[3:]:
        clip['keypoint'] = clip['keypoint'] / 640
    (error,) = in_pixels(clips)
    assert error.is_error
    assert list(named(error)) == [f'S{i:03d}' for i in range(SHOWN)]
    (error,) = in_pixels(pixels(img_shape=None), img_shape=(300, 100))
    assert 'are outside of an image of height 300 and width 100' in named(error)['S000']


@pytest.mark.parametrize(
    ('change', 'options', 'steps'),
    [
        (dict(label=[1, 2]), dict(multi_class=True), []),
        (dict(keypoint=np.zeros(7, np.uint8)), {}, [dict(type='DecompressPose')]),
        (dict(keypoint=None), dict(data_prefix=dict(skeleton='poses')), []),
    ],
)
def test_a_file_is_checked_as_its_data_set_checks_it(tmp_path, change, options, steps):
    clips = [clip | change for clip in make_annotations()]
    pipeline = [*steps, dict(type='FormatSkeletonInput')]
    dataset = dict(type='SkeletonDataset', ann_file='x', split='train', pipeline=pipeline, **options)
    config = tmp_path / 'config.py'
    config.write_text(f'train_dataloader = dict(dataset={dataset!r})')
    file = save(tmp_path, make_data(clips))
    assert len(SkeletonDataset(file, pipeline, 'train', **options)) == 6
    page, sound = check_file(file, config)
    assert sound, page
    assert 'train: 6 clips' in page


@pytest.mark.parametrize('in_space', [False, True])
@pytest.mark.fault(
    'one training clip whose hips are never seen, for a network that normalizes by the body',
    '-',
    'refused before training and by `data check`, names file, clip and field',
)
def test_a_person_whose_hips_are_never_seen(tmp_path, in_space):
    layout = KINECT_V1 if in_space else BODY
    hips = [layout.joints.index(f'{side} hip') for side in ('left', 'right')]
    clips = make_annotations(joints=layout.num_joints)
    for clip in clips:
        clip['keypoint'] = clip['keypoint'] if in_space else 100 * clip['keypoint'][..., :2]
    clips[1]['keypoint'][:, ::2, hips] = 0  # a part of the frames is enough
    steps = [dict(type='VirtualCamera')] if in_space else []
    pipeline = [*steps, dict(type='NormalizeByBody'), dict(type='FormatSkeletonInput', num_person=2)]
    dataset = dict(type='SkeletonDataset', ann_file='x', split='val', pipeline=pipeline)
    config = tmp_path / 'config.py'
    config.write_text(f'train_dataloader = dict(dataset={dataset!r})')
    file = save(tmp_path, make_data(clips, meta=dict(layout=layout.name)))
    assert check_file(file, config)[1]
    assert len(SkeletonDataset(file, pipeline, 'val')) == 6

    clips[3]['keypoint'][1, :, hips] = 0
    file = save(tmp_path, make_data(clips, meta=dict(layout=layout.name)))
    page, sound = check_file(file, config)
    assert not sound
    assert 'S003: person 1: no frame shows the hips' in page
    with pytest.raises(
        UserError, match=r"data\.pkl, split 'val', keypoint: expected hips.*1 clip.*\n +S003: person 1"
    ):
        SkeletonDataset(file, pipeline, 'val')


def test_confidences_tell_whose_hips_are_seen():
    clips, hips = pixels(), [COCO.joints.index(f'{side} hip') for side in ('left', 'right')]
    for clip in clips:
        clip['keypoint_score'] = np.ones(clip['keypoint'].shape[:3])
        clip['keypoint_score'][..., hips] = 0.05
    assert check(clips, normalization='body', skeleton=COCO, min_score=0.01) == []
    (error,) = check(clips, normalization='body', skeleton=COCO, min_score=0.1)
    assert error.where == 'keypoint'


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
    with pytest.raises(UserError, match=f'^{said}'):
        check_meta(meta)


def test_meta_with_everything():
    meta = dict(
        dataset='a', layout=dict(joints=2, bones=[(1, 0)]), classes=('a', 'b'), normalized=True, own=7
    )
    assert check_meta(meta) == meta
    assert check_meta(None) == {}
    assert check_meta(dict(layout=None, classes=None)) == dict(layout=None, classes=None)


@pytest.mark.fault(
    'confidences in percent, negative or NaN, or missing joints at -1, in a training file',
    'trained on; NaN ends the run later',
    'refused before training, names clip and joint',
)
@pytest.mark.parametrize(
    ('change', 'found'),
    [
        (lambda x, s: (x, 90 * s), 'keypoint_score: person 0, frame 0, joint 0 (nose): 90, in'),
        (lambda x, s: (x, s - 3), 'keypoint_score: person 0, frame 0, joint 0 (nose): -2, in'),
        (lambda x, s: (x, s * np.nan), 'keypoint_score: person 0, frame 0, joint 0 (nose): nan, in'),
        (
            lambda x, s: (np.where(x > 1e3, x, -1), s),
            'keypoint: person 0, frame 0, joint 0 (nose): -1, -1, in',
        ),
    ],
)
def test_numbers_that_are_no_confidences_and_no_joints(change, found):
    clips = pixels(250)
    for clip in clips:
        clip['keypoint_score'] = np.ones(clip['keypoint'].shape[:3])
    assert in_pixels(clips) == []
    clip = clips[-2]  # all are looked at
    clip['keypoint'], clip['keypoint_score'] = change(clip['keypoint'], clip['keypoint_score'])
    errors = [error for error in in_pixels(clips) if 'confidences' in str(error)]
    assert found in named(errors[0])['S248']


@pytest.mark.fault(
    'missing joints at -1 or 999, or at one depth, in one of many clips in space',
    'trained on',
    'refused before training, names clip and joint',
)
@pytest.mark.parametrize('mark', [-1, 999, (1.2, 0.8, 99)])
def test_every_clip_in_space_is_looked_at(mark):
    clips = [make_clip(frames=8, seed=seed) for seed in range(250)]
    assert check(clips, skeleton=NTU) == []
    clips[-2]['keypoint'][0, 3, 5] = mark
    (error,) = check(clips, skeleton=NTU)
    assert 'person 0, frame 3, joint 5 (left elbow)' in named(error)['S248']


@pytest.mark.fault(
    'a training clip all of whose confidences are below 0.1, for a network that normalizes by the body',
    '-',
    'refused before training, names the clip; was an empty clip',
)
def test_a_clip_without_confidence():
    clips = pixels()
    for clip in clips:
        clip['keypoint_score'] = np.ones(clip['keypoint'].shape[:3])
    clips[3]['keypoint_score'] *= 0.05
    (error,) = check(clips, normalization='body', skeleton=COCO, min_score=0.1)
    assert 'all joints have confidences below 0.1' in named(error)['S003']


@pytest.mark.fault('clips in centimeters among clips in meters, and the reverse', 'trained on', 'warned of')
@pytest.mark.parametrize('size', [1e2, 1e-2, 1e3, 1e-3])
def test_clips_in_another_unit(size):
    clips = make_annotations()
    for other in (0.8, 1.25):
        changed = [dict(clip) for clip in clips]
        changed[2]['keypoint'] = changed[2]['keypoint'] * size * other
        (warning,) = check(changed, skeleton=NTU, normalization='3d')
        assert 'Different units' in str(warning)
