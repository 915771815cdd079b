"""Estimators of poses for "mmdualhead video": MMPose's inferencer, and rtmlib (RTMPose without MMPose).

    mmdualhead video clip.mp4 --import estimators --estimator MMPose
    mmdualhead video clip.mp4 --import estimators --estimator RTMPose

Both programs take images as OpenCV has them, BGR.
"""

import numpy as np

from mmdualhead.apis.estimators import ESTIMATORS, Estimator
from mmdualhead.datasets.poses import Person


@ESTIMATORS.register_module()
class MMPose(Estimator):
    """``pip install mmpose``, which needs the full mmcv and mmdet."""

    layout = 'coco'

    def __init__(self, model='human'):
        from mmpose.apis import MMPoseInferencer

        self.inferencer = MMPoseInferencer(str(model))

    def estimate(self, image, time):
        (persons,) = next(self.inferencer(image[..., ::-1]))['predictions']
        return [Person(np.array(one['keypoints']), np.array(one['keypoint_scores'])) for one in persons]


@ESTIMATORS.register_module()
class RTMPose(Estimator):
    """``pip install rtmlib``, which runs RTMPose by ONNX Runtime."""

    layout = 'coco'

    def __init__(self, mode='balanced'):
        from rtmlib import Body

        self.body = Body(mode=mode, backend='onnxruntime', device='cpu')

    def estimate(self, image, time):
        keypoints, scores = self.body(np.ascontiguousarray(image[..., ::-1]))
        return [Person(*one) for one in zip(keypoints, scores, strict=True)]
