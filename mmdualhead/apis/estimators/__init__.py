"""Estimators of poses: from the frames of a video to the joints of the persons in them.

An estimator of your own is a registered class, which ``mmdualhead video --import my_parts --estimator
MyEstimator`` finds.
"""

from .base import ESTIMATORS, Estimator, make_estimator
from .mediapipe_pose import MediaPipePose
from .replay import Replay

__all__ = ['ESTIMATORS', 'Estimator', 'MediaPipePose', 'Replay', 'make_estimator']
