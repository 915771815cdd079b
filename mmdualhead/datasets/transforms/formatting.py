"""The last step before packing: a fixed number of persons, samples first, float32.

N samples of a clip, M persons, T frames, V joints, C channels.
"""

from __future__ import annotations

import numpy as np
from mmaction.registry import TRANSFORMS

from mmdualhead.datasets.transforms.step import Step, clip_error
from mmdualhead.network_input import Share


def most_active(keypoint: np.ndarray, number: int) -> np.ndarray:
    """The persons who move most, in their original order.

    A person's activity is the length of all joints' paths, ``Σ_t Σ_v |x_(t+1),v - x_t,v|``, over the pairs of
    frames in which the joint is present; of equally active persons the earlier come first.

    Args:
        keypoint: joints (M, T, V, C).
        number: number of persons to keep.

    Returns:
        Their indices, at most ``number``.
    """
    seen = np.asarray(keypoint.any(-1))
    present = seen.any(-1)
    steps = np.linalg.norm(np.diff(keypoint.astype(np.float64), axis=1), axis=-1)
    activity = (steps * (seen[:, 1:] & seen[:, :-1])).sum((1, 2))
    # A person present but still comes before an absent one.
    order = np.lexsort((-present.sum(1), -activity))
    return np.sort(order[:number])


@TRANSFORMS.register_module()
class FormatSkeletonInput(Step):
    """Shape a clip for the network: (N, M, T, V, C) float32, C-contiguous.

    MMAction2's ``FormatGCNInput``, except that of more than ``num_person`` persons not the first but the most
    active ones are kept, by the joints that :class:`~mmdualhead.datasets.SkeletonStream` keeps, so that all
    streams keep the same ones. Absent persons are zero. A ``keypoint_score`` becomes the last channel.

    Required keys: keypoint, (keypoint_score), (num_clips), (joints). Modified: keypoint.

    Args:
        num_person: M of the result.
    """

    @staticmethod
    def network_input(num_person: int = 2) -> Share:
        """What this step determines of a :class:`~mmdualhead.network_input.NetworkInput`."""
        return dict(num_person=num_person)

    def __init__(self, num_person: int = 2) -> None:
        self.num_person = num_person
        self.require_counts(num_person=num_person)

    def transform(self, results: dict) -> dict:
        keypoint, joints = results['keypoint'], results.get('joints', results['keypoint'])
        if 'keypoint_score' in results:
            keypoint = np.concatenate([keypoint, results['keypoint_score'][..., None]], axis=-1)
        if len(keypoint) > self.num_person:
            keypoint = keypoint[most_active(joints, self.num_person)]
        samples = results.get('num_clips', 1)
        persons, frames, *joint = keypoint.shape
        if frames % samples:
            raise clip_error(results, f'{frames} frames do not divide into {samples} samples')
        shape = (samples, self.num_person, frames // samples, *joint)
        full = np.empty(shape, np.float32)
        full[:, :persons] = keypoint.reshape(persons, samples, *shape[2:]).swapaxes(0, 1)
        full[:, persons:] = 0
        results['keypoint'] = full
        return results
