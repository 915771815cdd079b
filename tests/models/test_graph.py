"""Adjacency matrices derive from the layout and mean what the formulas say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarking.reference import k_hop
from mmdualhead.models.graph import (
    directed_adjacency,
    disentangled_adjacency,
    hop_distances,
    joint_adjacency,
    window_adjacency,
)
from mmdualhead.skeletons import SKELETONS, Skeleton

CHAIN = Skeleton(name='chain', joints=('a', 'b', 'c'), bones=((1, 0), (2, 1)))


def test_joint_adjacency_is_symmetric_without_loops():
    np.testing.assert_array_equal(joint_adjacency(CHAIN), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_hop_distances():
    np.testing.assert_array_equal(hop_distances(joint_adjacency(CHAIN)), [[0, 1, 2], [1, 0, 1], [2, 1, 0]])


def test_unreachable_nodes_are_infinitely_far():
    assert np.isinf(hop_distances(np.zeros((2, 2)))[0, 1])


def test_a_joint_sees_itself_and_its_neighbors_in_all_frames_of_a_window():
    hops = hop_distances(window_adjacency(joint_adjacency(CHAIN), 3))
    later = 2 * CHAIN.num_joints
    assert hops[0, later + 0] == hops[0, later + 1] == 1
    assert hops[0, later + 2] == 2


def test_directions_are_self_inward_and_outward():
    """A fork: joint 1 has two children, which share what they pass outward."""
    fork = Skeleton(name='fork', joints=('a', 'b', 'c', 'd'), bones=((1, 0), (2, 1), (3, 1)))
    itself, inward, outward = directed_adjacency(fork)
    np.testing.assert_array_equal(itself, np.eye(4))
    np.testing.assert_array_equal(inward, [[0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(outward, [[0, 0, 0, 0], [1, 0, 0, 0], [0, 0.5, 0, 0], [0, 0.5, 0, 0]])


@pytest.mark.parametrize('skeleton', SKELETONS.values(), ids=SKELETONS)
class TestDisentangled:
    def test_equals_matrix_powers(self, skeleton):
        a = joint_adjacency(skeleton)
        np.testing.assert_array_equal(disentangled_adjacency(a, 9), k_hop(a, 9).numpy())
        windowed = window_adjacency(a, 3)
        np.testing.assert_array_equal(disentangled_adjacency(windowed, 6), k_hop(windowed, 6).numpy())

    def test_scales_do_not_overlap_beside_the_diagonal(self, skeleton):
        scales = disentangled_adjacency(joint_adjacency(skeleton), 30) > 0
        off_diagonal = ~np.eye(skeleton.num_joints, dtype=bool)
        np.testing.assert_array_equal(scales.sum(0)[off_diagonal], 1)

    def test_scale_zero_is_the_identity(self, skeleton):
        first = disentangled_adjacency(joint_adjacency(skeleton), 1)[0]
        np.testing.assert_array_equal(first, np.eye(skeleton.num_joints))

    def test_symmetric_normalization(self, skeleton):
        a = joint_adjacency(skeleton) + np.eye(skeleton.num_joints)
        root = np.diag(a.sum(1) ** -0.5)
        np.testing.assert_allclose(
            disentangled_adjacency(joint_adjacency(skeleton), 2)[1], root @ a @ root, rtol=3e-7
        )
