import pytest

from mmdualhead.datasets.annotations.splits import choose_split, counterparts, protocol_and_role

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
    with pytest.raises(ValueError, match=r'f\.pkl: say which split'):
        choose_split(None, NTU, 'f.pkl')
