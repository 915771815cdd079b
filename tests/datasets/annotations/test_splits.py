import pytest

from mmdualhead.datasets.annotations.splits import (
    choose_split,
    counterparts,
    protocol_and_role,
    shared_subjects,
    subject_of,
)

NTU = ['xsub_train', 'xsub_val', 'xview_train', 'xview_val']


@pytest.mark.parametrize(
    ('split', 'expected'),
    [
        ('xsub_train', ('xsub', 'train')),
        ('xsub_val', ('xsub', 'test')),
        ('train', ('', 'train')),
        ('test1', ('1', 'test')),
        ('Fold-2_Validation', ('fold_2', 'test')),
        ('all', ('all', None)),
        ('train_test', ('', None)),
    ],
)
def test_protocol_and_role(split, expected):
    assert protocol_and_role(split) == expected


def test_only_the_other_side_of_the_same_protocol_is_a_counterpart():
    assert counterparts('xsub_train', NTU) == ['xsub_val']
    assert counterparts('xview_val', NTU) == ['xview_train']
    assert counterparts('train', ['train', 'val', 'test', 'train1']) == ['val', 'test']
    assert counterparts('val', ['train', 'val', 'test']) == ['train']
    assert counterparts('all', ['train', 'val']) == []


def test_choose_split():
    assert choose_split('xsub_val', NTU, 'f.pkl') == 'xsub_val'
    with pytest.raises(ValueError, match=r"f\.pkl: no split 'xsub_trian'.*did you mean 'xsub_train'"):
        choose_split('xsub_trian', NTU, 'f.pkl')
    with pytest.raises(ValueError, match=r'f\.pkl: choose a split'):
        choose_split(None, NTU, 'f.pkl')


def acted(*subjects, **fields):
    return [dict(frame_dir=f'{i}', subject=who, **fields) for i, who in enumerate(subjects)]


@pytest.mark.parametrize('split', ['xsub_val', 'dataset1_val', 'subset_val', 'review_val'])
def test_subjects_on_both_sides_whatever_the_protocols_name(split):
    clips = [dict(frame_dir='of nobody'), *acted('a')]
    (finding,) = shared_subjects(clips, acted('a'), split, 'train')
    assert 'subject a' in finding.text
    for shared in ('xview_val', 'xset_val', 'val_view_1', 'cross_setup_val', 'cameras_val', 'view1_val'):
        assert shared_subjects(clips, acted('a'), shared, 'train') == []


def test_subjects_on_both_sides():
    (finding,) = shared_subjects(acted('a', 'b', 'a', 'c'), acted('d', 'a'), 'val', 'train')
    assert str(finding).splitlines() == [
        "subject: expected no subject of 'train'; 2 clips differ:",
        '    0: subject a',
        '    2: subject a',
        '  1 subject in both. Accuracy on this split is not accuracy on unseen subjects.',
    ]


@pytest.mark.parametrize(
    ('clips', 'others', 'split'),
    [
        (acted('a'), acted('b'), 'val'),
        (acted('a'), acted('a'), 'xview_val'),
        (acted('a'), acted('a'), 'xset_val'),
        (acted(None), acted(None), 'val'),
        ([], acted('a'), 'val'),
    ],
)
def test_subjects_that_may_be_there(clips, others, split):
    assert shared_subjects(clips, others, split, 'train') == []


def test_subjects_by_name_and_number():
    assert subject_of(dict(frame_dir='S001C002P003R002A013')) == '003'
    assert subject_of(dict(frame_dir='S001C002P003R002A013', subject=7)) == '7'
    assert subject_of(dict(frame_dir='a1_s1_t1')) is None
