"""Recognize an action with an exported model; needs numpy and onnxruntime alone.

python onnx_predict.py model.onnx joints.npy     # joints of one clip: persons, frames, joints, 3 coordinates
"""

import json
import sys

import numpy as np
import onnxruntime


def normalize(joints: np.ndarray, told: dict) -> np.ndarray:
    """Center on the main person's first frame, spine upright, shoulders along x; drop empty frames."""
    joints = np.where(np.isfinite(joints).all(-1, keepdims=True), joints, 0).astype(np.float64)
    present = joints.any((2, 3))
    if not present.any():
        return joints
    main = int(present.sum(1).argmax())
    order = [main, *(i for i in range(len(joints)) if i != main)]
    joints = joints[order][:, present.any(0)]
    there = joints.any(-1, keepdims=True)
    first = int(joints[0].any((1, 2)).argmax())
    joints = (joints - joints[0, first, json.loads(told['center'])]) * there
    if up := json.loads(told['up']):
        tail, head = joints[0, first, up]
        joints = joints @ rotation_onto(head - tail, [0, 0, 1]).T
    if across := json.loads(told['across']):
        right, left = joints[0, first, across]
        joints = joints @ rotation_onto(right - left, [1, 0, 0]).T
    return joints


def rotation_onto(vector: np.ndarray, axis: list) -> np.ndarray:
    """The rotation that turns a vector onto an axis by the shortest way (Rodrigues)."""
    normal, length = np.cross(vector, axis), np.linalg.norm(vector)
    sine = np.linalg.norm(normal)
    if length < 1e-6 or sine < 1e-6 * length:
        return np.eye(3)
    x, y, z = normal / sine
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + sine / length * cross + (1 - np.dot(vector, axis) / length) * cross @ cross


def predict(session: onnxruntime.InferenceSession, joints: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs for one clip (persons, frames, joints, 3)."""
    told = session.get_modelmeta().custom_metadata_map
    if not json.loads(told['stream_inside']):
        sys.exit(f'the model wants the stream {told["stream"]!r} ready-made')
    if json.loads(told['normalized']):
        joints = normalize(joints, told)
    number = json.loads(told['num_person'])
    clip = np.zeros((1, number, *joints.shape[1:]), np.float32)
    clip[0, : len(joints)] = joints[:number]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {'keypoint': clip}), strict=True))


if __name__ == '__main__':
    model, recording = sys.argv[1:]
    session = onnxruntime.InferenceSession(model)
    classes = json.loads(session.get_modelmeta().custom_metadata_map['classes'])
    scores = predict(session, np.load(recording))['fused_score'][0]
    for i in scores.argsort()[::-1][:5]:
        print(f'{100 * scores[i]:5.1f} %  {classes[i]}')
