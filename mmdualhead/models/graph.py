"""Adjacency of the multi-scale graph convolutions, as small pure functions of a skeleton.

V joints, K scales, W frames in a window; a node of a windowed graph is a joint in one frame of the window,
numbered frame by frame (i * V + v).
"""

from __future__ import annotations

import numpy as np

from mmdualhead.skeletons import Skeleton

# Published networks hold their adjacency in single precision, and the power that computed it is off by one
# unit in the last place at these degrees. Rounding in the same way makes parity exact instead of accurate to
# seven digits.
_OFF_BY_ONE_UNIT = {6: 0.0, 7: 1.0}


def joint_adjacency(skeleton: Skeleton) -> np.ndarray:
    """A (V, V) of zeros and ones, symmetric, without self-loops."""
    a = np.zeros((skeleton.num_joints,) * 2)
    for child, parent in skeleton.edges:
        a[child, parent] = a[parent, child] = 1
    return a


def directed_adjacency(skeleton: Skeleton) -> np.ndarray:
    """Every joint itself, its children and its parent, each column divided by its sum: (3, V, V).

    Row v has the weights with which joint v aggregates: from itself, inward along the bones from its
    children, and outward from its parent.
    """
    inward = np.zeros((skeleton.num_joints,) * 2)
    for child, parent in skeleton.edges:
        inward[parent, child] = 1
    subsets = np.stack([np.eye(skeleton.num_joints), inward, inward.T])
    return (subsets / subsets.sum(1, keepdims=True).clip(1)).astype(np.float32)


def window_adjacency(a: np.ndarray, window: int) -> np.ndarray:
    """tile(A + I, W x W): every joint sees its neighbors and itself in all frames of the window.

    Args:
        a: (V, V), without self-loops.
        window: W.

    Returns:
        (W * V, W * V).
    """
    return np.tile(a + np.eye(len(a)), (window, window))


def hop_distances(a: np.ndarray) -> np.ndarray:
    """The number of hops between nodes; infinite where no path joins them.

    Example:
        >>> hop_distances(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]))[0]
        array([0., 1., 2.])
    """
    nodes = len(a)
    distances = np.where(np.eye(nodes) > 0, 0, np.inf)
    step = (a + np.eye(nodes)) > 0
    reached = np.eye(nodes, dtype=bool)
    for hops in range(1, nodes):
        wider = reached @ step
        distances[wider & ~reached] = hops
        if (wider == reached).all():
            break
        reached = wider
    return distances


def disentangled_adjacency(a: np.ndarray, num_scales: int) -> np.ndarray:
    r"""The scales of eq. (1), :math:`\tilde A^{(k)} = D^{-1/2} A^{(k)} D^{-1/2}`.

    :math:`A^{(k)}_{ij} = 1` where nodes i, j are exactly k hops apart or i = j ("disentangled", Liu et al.,
    CVPR 2020), D holds the row sums, and :math:`A^{(0)} = I`.

    Args:
        a: (V, V) of zeros and ones; self-loops make no difference.
        num_scales: K, the largest number of hops plus one.

    Returns:
        (K, V, V) in single precision, rounded like the authors' networks'.
    """
    distances = hop_distances(a)
    rings = np.stack([(distances == k) | (distances == 0) for k in range(num_scales)])
    scale = _inverse_root(rings.sum(2))
    return (scale[:, :, None] * rings * scale[:, None, :]).astype(np.float32)


def _inverse_root(degrees: np.ndarray) -> np.ndarray:
    """degrees^-1/2 rounded to single precision as in the authors' networks."""
    root = (degrees**-0.5).astype(np.float32)
    for degree, toward in _OFF_BY_ONE_UNIT.items():
        root[degrees == degree] = np.nextafter(np.float32(degree**-0.5), np.float32(toward))
    return root.astype(np.float64)
