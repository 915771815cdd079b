"""Layouts are trees whose mirror images are themselves."""

from __future__ import annotations

import pytest
from mmaction.datasets.transforms import JointToBone
from mmaction.models.utils import Graph

from mmdualhead.skeletons import COCO, NTU, OPENPOSE, SKELETONS, Skeleton, get_skeleton


@pytest.mark.parametrize('skeleton', SKELETONS.values(), ids=SKELETONS)
class TestLayouts:
    def test_mirroring_twice_is_the_identity(self, skeleton):
        assert [skeleton.mirror[j] for j in skeleton.mirror] == list(range(skeleton.num_joints))

    def test_mirrored_bones_are_bones(self, skeleton):
        edges = {frozenset(edge) for edge in skeleton.edges}
        assert {frozenset(skeleton.mirror[j] for j in edge) for edge in edges} == edges

    def test_names_say_left_where_pairs_say_left(self, skeleton):
        for left, right in skeleton.pairs:
            assert skeleton.joints[left].replace('left', 'right') == skeleton.joints[right]
        named = {j for j, name in enumerate(skeleton.joints) if 'left' in name or 'right' in name}
        assert named == {joint for pair in skeleton.pairs for joint in pair}


@pytest.mark.parametrize('skeleton', [NTU, OPENPOSE, COCO], ids=lambda s: s.name)
def test_parents_are_those_of_mmaction2s_bones(skeleton):
    theirs = dict(JointToBone(dataset=skeleton.name).pairs)
    assert dict(enumerate(skeleton.parents)) == theirs


@pytest.mark.parametrize('skeleton', [OPENPOSE, COCO], ids=lambda s: s.name)
def test_edges_are_those_of_mmaction2s_graph(skeleton):
    theirs = {frozenset(edge) for edge in Graph(skeleton.name).inward}
    assert {frozenset(edge) for edge in skeleton.edges} == theirs


def test_ntu_edges_are_the_authors_not_mmaction2s():
    ours = {frozenset(edge) for edge in NTU.edges}
    theirs = {frozenset(edge) for edge in Graph('nturgb+d').inward}
    assert ours - theirs == {frozenset((21, 22)), frozenset((23, 24))}
    assert theirs - ours == {frozenset((21, 7)), frozenset((23, 11))}


def test_own_definition_as_it_stands_in_a_config():
    skeleton = get_skeleton(dict(joints=3, bones=[[1, 0], [2, 0]], pairs=[[1, 2]]))
    assert skeleton.num_joints == 3
    assert skeleton.center == 0
    assert skeleton.mirror == (0, 2, 1)
    assert skeleton.edges == skeleton.bones


def test_a_skeleton_stays_what_it_is():
    assert get_skeleton(NTU) is get_skeleton('nturgb+d') is NTU


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'ntu25'.*'nturgb\+d'"):
        get_skeleton('ntu25')


@pytest.mark.parametrize(
    ('definition', 'message'),
    [
        (dict(bones=[(1, 0)]), r'joints without a parent: \[0, 2\]'),
        (dict(bones=[(1, 0), (2, 0), (2, 1)]), 'exactly one parent'),
        (dict(bones=[(1, 2), (2, 1)]), 'cycle'),
        (dict(bones=[(1, 0), (3, 0)]), r'bones \[\(3, 0\)\] name joints outside 0..2'),
        (dict(bones=[(1, 0), (2, 0)], pairs=[(1, 2), (2, 0)]), 'name a joint twice'),
        (dict(bones=[(1, 0), (2, 0)], center=5), 'center'),
    ],
)
def test_contradictions_are_refused(definition, message):
    with pytest.raises(ValueError, match=message):
        Skeleton(**{'name': 'mine', 'joints': ('a', 'b', 'c'), **get_tuples(definition)})


def get_tuples(definition):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in definition.items()}
