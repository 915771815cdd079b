"""MMAction2's own functions take our checkpoints and give the same scores."""

from __future__ import annotations

import numpy as np
import pytest
from mmaction.apis import inference_recognizer, inference_skeleton, init_recognizer

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.recordings import RecordingError
from mmdualhead.models.fused import fuse
from mmdualhead.skeletons import convert_layout
from tests.apis.trained import save_trained, small_config


@pytest.mark.parametrize('fused', [False, True])
def test_inference_recognizer(checkpoint, inferencer, recording, fused):
    model = init_recognizer(small_config(), str(checkpoint), device='cpu')
    model = fuse(model) if fused else model
    keypoint = recording()[None]
    annotation = dict(keypoint=keypoint, total_frames=30, label=-1, frame_dir='x', start_index=0)
    theirs = inference_recognizer(model, {**annotation, 'modality': 'Pose'}).pred_score.numpy()
    (ours,) = inferencer(keypoint)['predictions']
    np.testing.assert_allclose(theirs, ours.scores['fused'], atol=1e-6)


@pytest.fixture
def poses():
    """Half-integer pixels and quarter scores, which MMAction2's half precision holds exactly."""
    rng = np.random.default_rng(0)
    return [
        dict(
            keypoints=rng.integers(0, 480, (1 + t % 2, 17, 2)) / 2,
            keypoint_scores=rng.integers(1, 5, (1 + t % 2, 17)) / 4,
        )
        for t in range(20)
    ]


def test_inference_skeleton(poses, tmp_path):
    config = small_config('dualhead_ntu60_xsub_2d_j')
    path = save_trained(tmp_path / 'x.pth', config)
    theirs = inference_skeleton(init_recognizer(config, str(path), device='cpu'), poses, (240, 320))
    (ours,) = SkeletonInferencer(path, device='cpu')(poses, img_shape=(240, 320))['predictions']
    np.testing.assert_allclose(theirs.pred_score.numpy(), ours.scores['fused'], atol=1e-6)
    assert ours.keypoint.shape == (2, 20, 17, 3)


def test_poses_go_to_a_model_of_kinetics(poses, tmp_path):
    """Whose pipeline does not center pictures itself."""
    path = save_trained(tmp_path / 'x.pth', small_config('dualhead_kinetics_j'))
    inferencer = SkeletonInferencer(path, device='cpu')
    (ours,) = inferencer(poses, img_shape=(240, 320), layout='coco')['predictions']
    joints = np.zeros((2, 20, 17, 3))
    for t, frame in enumerate(poses):
        x = frame['keypoints'] / (320, 240) - 0.5
        joints[: len(x), t] = np.concatenate([x, frame['keypoint_scores'][..., None]], -1)
    (again,) = inferencer(convert_layout(joints, 'coco', 'openpose'))['predictions']
    np.testing.assert_allclose(ours.scores['fused'], again.scores['fused'], atol=1e-5)


def test_arrays_in_pixels_need_the_size_of_the_picture(poses, tmp_path):
    path = save_trained(tmp_path / 'x.pth', small_config('dualhead_ntu60_xsub_2d_j'))
    inferencer = SkeletonInferencer(path, device='cpu')
    joints = np.stack(
        [np.concatenate([f['keypoints'][0], f['keypoint_scores'][0, :, None]], -1) for f in poses]
    )
    alone = [{key: value[:1] for key, value in frame.items()} for frame in poses]
    first, second = (
        inferencer(x, img_shape=(240, 320))['predictions'][0].scores['fused'] for x in (joints, alone)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)
    with pytest.raises(RecordingError, match='img_shape: the model expects pixels'):
        inferencer(joints)
