"""Writes raw files as the data sets' authors do, from known joints. T frames, V joints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from mmdualhead.datasets.converters.msr_action3d import ROWS as MSR_ROWS
from mmdualhead.datasets.converters.utd_mhad import ROWS
from mmdualhead.skeletons import Skeleton, get_skeleton

BODY_A, BODY_B, BODY_C = '72057594037931101', '72057594037931102', '72057594037931103'


def star(num_joints: int) -> Skeleton:
    """A layout of so many joints, all of which hang on the first."""
    return get_skeleton(dict(joints=num_joints, bones=[(joint, 0) for joint in range(1, num_joints)]))


def standing(num_joints: int, num_frames: int, seed: int = 0, at: float = 0.0) -> np.ndarray:
    """A plausible track, (T, V, 3) float32: taller than wide, moving a little, at x = ``at``."""
    rng = np.random.default_rng(seed)
    body = rng.uniform((-0.2, -0.8, 2.9), (0.2, 0.8, 3.1), (num_joints, 3))
    body[:, 0] += at
    return (body + 0.05 * rng.standard_normal((num_frames, num_joints, 3))).astype(np.float32)


def write_ntu(path: Path, frames: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write a ``.skeleton`` file; each frame maps the ids of its bodies to their joints (25, 3)."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body, joints in bodies.items():
            lines += [f'{body} 0 1 1 1 1 0 0.02764709 0.05745083 2', '25']
            lines += [f'{x} {y} {z} 277.4 191.8 1036.2 519.1 -0.2 0.05 0.97 -0.12 2' for x, y, z in joints]
    path.write_text('\r\n'.join(lines) + '\r\n')


def ntu_frames(tracks: Mapping[str, tuple[int, np.ndarray]], num_frames: int) -> list[dict[str, np.ndarray]]:
    """Frames for :func:`write_ntu` from the first frame and the joints (T, 25, 3) of each body."""
    return [
        {body: joints[t - first] for body, (first, joints) in tracks.items() if 0 <= t - first < len(joints)}
        for t in range(num_frames)
    ]


def write_utd(path: Path, joints: np.ndarray) -> None:
    """Write a UTD-MHAD file from joints (T, 20, 3) in the order of kinect_v1."""
    rows = np.empty_like(joints)
    rows[:, ROWS] = joints
    savemat(path, {'d_skel': rows.transpose(1, 2, 0).astype(np.float64)})


def write_kinetics(
    src: Path,
    split: str,
    clips: Mapping[str, tuple[int, list[dict]]],
    extra: Mapping[str, dict] | None = None,
) -> None:
    """Write the label file and directory of a split; each clip has a class and its ``data``."""
    folder = src / f'kinetics_{split}'
    folder.mkdir()
    labels = {
        name: {'has_skeleton': True, 'label': f'class {label}', 'label_index': label}
        for name, (label, _) in clips.items()
    }
    (src / f'kinetics_{split}_label.json').write_text(json.dumps({**labels, **(extra or {})}))
    for name, (label, data) in clips.items():
        content = {'data': data, 'label': f'class {label}', 'label_index': label}
        (folder / f'{name}.json').write_text(json.dumps(content))


def kinetics_frame(index: int, *persons: np.ndarray) -> dict:
    """One element of ``data``, from x, y in 0..1 and score (18, 3) of each of the persons."""
    skeleton = [{'pose': p[:, :2].ravel().tolist(), 'score': p[:, 2].tolist()} for p in persons]
    return {'frame_index': index, 'skeleton': skeleton}


def write_msr(path: Path, joints: np.ndarray) -> None:
    """Write an MSR-Action3D file from joints (T, 20, 3) in the order of kinect_v1."""
    rows = np.empty_like(joints)
    rows[:, MSR_ROWS] = joints
    path.write_text(''.join(f'  {x!s}  {y!s} {z!s}   1.0000\n' for x, y, z in rows.reshape(-1, 3)))


def write_ucla(path: Path, label: int, joints: np.ndarray) -> None:
    """Write an NW-UCLA file from a label (1..10) and joints (T, 20, 3) in the order of kinect_v1."""
    content = {'file_name': path.stem, 'label': label, 'skeletons': joints.tolist()}
    path.write_text(json.dumps(content))
