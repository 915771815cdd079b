"""Layouts are trees whose mirror images are themselves."""

from __future__ import annotations

import numpy as np
import pytest
from mmaction.datasets.transforms import JointToBone
from mmaction.models.utils import Graph

from mmdualhead.skeletons import (
    BODY,
    COCO,
    NTU,
    OPENPOSE,
    SKELETONS,
    Skeleton,
    conversion,
    convert_layout,
    get_skeleton,
)


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
        (dict(bones=[(1, 0), (3, 0)]), r'bones \[\(3, 0\)\] contain joints outside 0..2'),
        (dict(bones=[(1, 0), (2, 0)], pairs=[(1, 2), (2, 0)]), 'contain a joint twice'),
        (dict(bones=[(1, 0), (2, 0)], center=5), 'center'),
    ],
)
def test_contradictions_are_refused(definition, message):
    with pytest.raises(ValueError, match=message):
        Skeleton(**{'name': 'mine', 'joints': ('a', 'b', 'c'), **get_tuples(definition)})


def get_tuples(definition):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in definition.items()}


@pytest.mark.parametrize(
    ('layout', 'number', 'joints'),
    [
        ('nturgb+d', 25, {3: 'head', 20: 'spine shoulder', 24: 'right thumb'}),
        ('kinect_v1', 20, {2: 'shoulder center', 19: 'right foot'}),
        ('kinect_azure', 32, {3: 'neck', 7: 'left wrist', 17: 'right thumb', 22: 'right hip', 26: 'head'}),
        ('openpose', 18, {1: 'neck', 17: 'left ear'}),
        ('openpose_25', 25, {8: 'mid hip', 9: 'right hip', 14: 'left ankle', 24: 'right heel'}),
        ('coco', 17, {0: 'nose', 16: 'right ankle'}),
        ('halpe_26', 26, {17: 'head', 19: 'hip', 20: 'left big toe', 23: 'right small toe'}),
        (
            'mediapipe',
            33,
            {0: 'nose', 8: 'right ear', 11: 'left shoulder', 22: 'right thumb', 32: 'right foot index'},
        ),
        ('h36m', 17, {0: 'pelvis', 1: 'right hip', 4: 'left hip', 10: 'head', 11: 'left shoulder'}),
        ('smpl', 24, {1: 'left hip', 6: 'spine 2', 15: 'head', 23: 'right hand'}),
        ('body_13', 13, {0: 'head', 1: 'left shoulder', 2: 'right shoulder', 12: 'right ankle'}),
        ('smpl_22', 22, {1: 'left hip', 6: 'spine 2', 15: 'head', 21: 'right wrist'}),
    ],
)
def test_joints_stand_where_the_estimator_puts_them(layout, number, joints):
    skeleton = get_skeleton(layout)
    assert skeleton.num_joints == number == len(set(skeleton.joints))
    assert {i: skeleton.joints[i] for i in joints} == joints
    assert set(skeleton.meaning) <= set(skeleton.joints)


def test_every_layout_is_checked_above():
    assert set(SKELETONS) == {
        *('nturgb+d', 'kinect_v1', 'kinect_azure', 'openpose', 'openpose_25', 'coco', 'halpe_26'),
        *('mediapipe', 'h36m', 'smpl', 'smpl_22', 'body_13'),
    }


def test_other_names_lead_to_the_same_layout():
    assert get_skeleton('kinect_v2') is NTU
    assert get_skeleton('coco_wholebody_body') is COCO


class TestConvertLayout:
    @pytest.fixture
    def mediapipe(self):
        return np.random.default_rng(0).normal(size=(2, 5, 33, 3)) + 3

    def at(self, keypoints, layout, *names):
        joints = get_skeleton(layout).joints
        return np.mean([keypoints[..., joints.index(name), :] for name in names], axis=0)

    @pytest.mark.parametrize('layout', SKELETONS)
    def test_to_itself_is_the_identity(self, layout):
        keypoints = np.random.default_rng(0).normal(size=(4, SKELETONS[layout].num_joints, 3))
        np.testing.assert_allclose(convert_layout(keypoints, layout, layout), keypoints, rtol=1e-15)

    def test_joints_of_the_same_name_are_taken_as_they_are(self, mediapipe):
        converted = convert_layout(mediapipe, 'mediapipe', 'kinect_v1')
        assert converted.shape == (2, 5, 20, 3)
        for name in ('left elbow', 'right wrist', 'left ankle'):
            np.testing.assert_array_equal(
                self.at(converted, 'kinect_v1', name), self.at(mediapipe, 'mediapipe', name)
            )

    def test_what_lies_between_two_is_their_midpoint(self, mediapipe):
        converted = convert_layout(mediapipe, 'mediapipe', 'kinect_v1')
        for name, others in (
            ('hip center', ('left hip', 'right hip')),
            ('shoulder center', ('left shoulder', 'right shoulder')),
            ('head', ('left ear', 'right ear')),
            ('spine', ('left hip', 'right hip', 'left shoulder', 'right shoulder')),
        ):
            np.testing.assert_allclose(
                self.at(converted, 'kinect_v1', name), self.at(mediapipe, 'mediapipe', *others)
            )

    def test_the_same_word_for_another_place_is_not_mistaken(self):
        kinect = np.random.default_rng(0).normal(size=(3, 25, 3))
        weights, lacking = conversion(NTU, OPENPOSE)
        neck = weights[OPENPOSE.joints.index('neck')]
        assert NTU.joints[neck.argmax()] == 'spine shoulder'
        assert set(lacking) == {'nose', 'right eye', 'left eye', 'right ear', 'left ear'}
        with pytest.raises(ValueError, match=r"'nturgb\+d' cannot be converted to 'openpose'.*nose"):
            convert_layout(kinect, 'nturgb+d', 'openpose')

    @pytest.mark.parametrize(
        ('source', 'target'),
        [
            ('mediapipe', 'nturgb+d'),
            ('kinect_azure', 'nturgb+d'),
            ('nturgb+d', 'kinect_v1'),
            ('smpl', 'kinect_v1'),
            ('coco', 'openpose'),
            ('halpe_26', 'coco'),
            ('openpose_25', 'openpose'),
        ],
    )
    def test_what_people_need_can_be_had(self, source, target):
        weights, lacking = conversion(SKELETONS[source], SKELETONS[target])
        assert not lacking
        np.testing.assert_allclose(weights.sum(1), 1)
        mirrored = weights[list(SKELETONS[target].mirror)][:, list(SKELETONS[source].mirror)]
        np.testing.assert_allclose(mirrored, weights)

    def test_what_cannot_be_had_is_named(self):
        with pytest.raises(
            ValueError, match=r"'coco' cannot be converted to 'kinect_v1'.*left hand.*left foot"
        ):
            convert_layout(np.ones((1, 17, 3)), 'coco', 'kinect_v1')

    def test_missing_joints_make_what_lies_between_them_missing(self, mediapipe):
        mediapipe[0, 1, 23] = 0  # the left hip
        converted = convert_layout(mediapipe, 'mediapipe', 'kinect_v1')
        missing = {get_skeleton('kinect_v1').joints[j] for j in np.flatnonzero(~converted[0, 1].any(-1))}
        assert missing == {'hip center', 'spine', 'left hip'}
        assert converted[1].all()

    def test_another_number_of_joints_is_refused(self):
        with pytest.raises(ValueError, match=r"\(4, 17, 3\): layout 'kinect_v1' needs \(..., 20, C\)"):
            convert_layout(np.ones((4, 17, 3)), 'kinect_v1', 'nturgb+d')


PLACES = {
    **{'pelvis': 0.95, 'lumbar spine': 1.05, 'spine': 1.15, 'chest': 1.25, 'shoulder center': 1.42},
    **{'neck': 1.49, 'head': 1.62, 'head top': 1.76},
}
SIDES = {
    **{'clavicle': (0.05, 1.42), 'shoulder': (0.18, 1.42), 'elbow': (0.25, 1.15), 'wrist': (0.27, 0.9)},
    **{'hand': (0.27, 0.82), 'hand tip': (0.27, 0.74), 'thumb': (0.23, 0.82), 'index': (0.25, 0.78)},
    **{'pinky': (0.3, 0.78), 'hip': (0.1, 0.93), 'knee': (0.11, 0.5), 'ankle': (0.12, 0.08)},
}
FACE = {
    **{
        'nose': (0, 1.6, 0.11),
        'ear': (0.08, 1.62, 0),
        'eye': (0.03, 1.64, 0.09),
        'mouth': (0.03, 1.55, 0.09),
    },
    **{'eye inner': (0.02, 1.64, 0.09), 'eye outer': (0.05, 1.64, 0.08)},
    **{'foot': (0.12, 0.02, 0.12), 'foot index': (0.12, 0.02, 0.15), 'big toe': (0.1, 0.02, 0.15)},
    **{'small toe': (0.15, 0.02, 0.13), 'heel': (0.12, 0.02, -0.05)},
}
"""A standing person in meters: to the left, up, and forward."""


def standing(layout: str) -> np.ndarray:
    """(V, 3) the person as a layout shows it."""
    skeleton = get_skeleton(layout)
    return np.array([place(skeleton.meaning.get(name, name)) for name in skeleton.joints], float)


def place(name: str) -> tuple[float, float, float]:
    side, _, part = name.partition(' ')
    if name in PLACES:
        return 0, PLACES[name], 0
    if name in FACE:
        return FACE[name]
    x, *others = (*SIDES[part], 0) if part in SIDES else FACE[part]
    return (x if side == 'left' else -x, *others)


class TestBody:
    @pytest.mark.parametrize('layout', sorted(set(SKELETONS) - {'body_13'}))
    def test_every_layout_shows_the_same_person(self, layout):
        expected = standing('body_13')
        converted = convert_layout(standing(layout), layout, 'body_13')
        np.testing.assert_allclose(converted[1:], expected[1:], atol=1e-9)
        # The middle of the head is where the ears are, or halfway up to its top.
        np.testing.assert_allclose(converted[0], expected[0], atol=0.01)

    @pytest.mark.parametrize('layout', ['coco', 'openpose', 'openpose_25', 'mediapipe', 'halpe_26'])
    def test_somebody_turned_keeps_the_head_without_an_ear(self, layout):
        joints = standing(layout)
        joints[get_skeleton(layout).joints.index('left ear')] = 0
        head = convert_layout(joints, layout, 'body_13')[0]
        assert np.linalg.norm(head - standing('body_13')[0]) < 0.09

    def test_from_the_nose_alone_if_there_is_no_ear(self):
        joints = np.stack([standing('coco')] * 2)
        joints[1, [COCO.joints.index(f'{side} ear') for side in ('left', 'right')]] = 0
        heads = convert_layout(joints, 'coco', 'body_13')[:, 0]
        np.testing.assert_allclose(heads, [place('head'), place('nose')], atol=1e-9)
        joints[1, COCO.joints.index('nose')] = 0
        assert not convert_layout(joints, 'coco', 'body_13')[1, 0].any()

    def test_scores_are_those_of_the_joints_in_use(self):
        scores = np.ones((17, 1))
        scores[COCO.joints.index('left ear')] = 0
        scores[COCO.joints.index('nose')] = 0.5
        np.testing.assert_allclose(convert_layout(scores, 'coco', 'body_13')[0], 0.75)

    def test_its_names_and_edges_are_symmetric(self):
        assert len(BODY.edges) == 14
        assert BODY.flat
