"""Writes raw files as the data sets' authors do, from known joints. T frames, V joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from mmdualhead.datasets.converters.utd_mhad import ROWS

BODY_A, BODY_B, BODY_C = '72057594037931101', '72057594037931102', '72057594037931103'


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
