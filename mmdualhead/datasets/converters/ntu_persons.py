"""Choose the performers among the Kinect's tracks: the denoising of NTU RGB+D.

The tracker mistakes furniture for persons and loses persons, who reappear as new tracks. The rules and the
thresholds are those of the common preprocessing (NTU RGB+D's, as in VA-CNN, SGN, CTR-GCN), except that the
tracks of a person whose number changes from one moment to the next are joined first. T frames, V joints.
"""

from __future__ import annotations

import numpy as np

from .ntu_file import NUM_JOINTS, TrackedBody

# A track of this many frames or fewer is noise.
NOISE_FRAMES = 11
# A track is implausible in a frame where it is wider (x) than this part of its height (y) ...
SPREAD_RATIO = 0.8
# ... and is noise if that is so in this part of its frames.
SPREAD_FRAMES = 0.69754

# A track is continued by one that begins at most so many frames after its end, ...
JOIN_FRAMES = 5
# ... and not farther away (meters), for each frame, than a person runs.
JOIN_STEP = 0.15


def join_tracks(tracks: list[TrackedBody]) -> list[TrackedBody]:
    """Join the tracks of persons whose number changes, by position and time, the nearest first.

    A track is continued by one that begins up to :data:`JOIN_FRAMES` after its end, if the center of its
    joints is not more than :data:`JOIN_STEP` per frame away. Common preprocessing does not join tracks first
    and loses persons whose number changes often.

    Args:
        tracks: of one recording.

    Returns:
        The tracks in the same order; unchanged if no number changes.
    """
    steps = sorted((_step(a, b), i, j) for i, a in enumerate(tracks) for j, b in enumerate(tracks))
    following: dict[int, int] = {}
    for step, i, j in steps:
        if step <= JOIN_STEP and i not in following and j not in following.values():
            following[i] = j
    joined = []
    for i in sorted(set(range(len(tracks))) - set(following.values())):
        chain = [i]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        frames, joints = zip(*(tracks[k] for k in chain), strict=True)
        joined.append(TrackedBody(np.concatenate(frames), np.concatenate(joints)))
    return joined


def _step(earlier: TrackedBody, later: TrackedBody) -> float:
    """The motion of the center per frame from one track to the next; infinite if it cannot be the next."""
    gap = int(later.frames[0] - earlier.frames[-1])
    if not 0 < gap <= JOIN_FRAMES:
        return np.inf
    return float(np.linalg.norm(later.joints[0].mean(axis=0) - earlier.joints[-1].mean(axis=0))) / gap


def select_persons(tracks: list[TrackedBody]) -> np.ndarray:
    """Find the one or two performers.

    A single track is kept. Of several, those that are too short and those that are too wide are
    dropped, as long as one remains. The rest is sorted by motion. The first is the first person's; each of
    the others continues the first person if they do not overlap, else the second. (Common preprocessing
    always starts the second person in frame 0 and loses an earlier track of the same person; here a person
    starts with its track.)

    Args:
        tracks: one or more.

    Returns:
        (M, T, V, 3) float32 with M of 1 or 2; persons are zero where they are not tracked, and frames without
        any of them are dropped.
    """
    # Without the frames that contain no person, the tracks before and after them are adjacent.
    used = np.unique(np.concatenate([track.frames for track in tracks]))
    tracks = [TrackedBody(np.searchsorted(used, track.frames), track.joints) for track in tracks]
    if len(tracks) > 1:
        tracks = [track for track in tracks if len(track.frames) > NOISE_FRAMES] or tracks
    if len(tracks) > 1:
        tracks = _sort_by_motion(tracks)
    persons = np.zeros((2, len(used), NUM_JOINTS, 3), np.float32)
    for person, track in _assign(tracks):
        persons[person, track.frames] = track.joints
    persons = persons[persons.any(axis=(1, 2, 3))]
    return persons[:, persons.any(axis=(0, 2, 3))]


def _sort_by_motion(tracks: list[TrackedBody]) -> list[TrackedBody]:
    """Drop tracks of implausible spread, but not the last one; the most motion first."""
    kept = []
    for track in tracks:
        width, height, _ = np.ptp(track.joints, axis=1).T
        plausible = width <= SPREAD_RATIO * height
        if 1 - plausible.mean() < SPREAD_FRAMES:
            kept.append((min(motion(track.joints), motion(track.joints[plausible])), track))
    return [track for _, track in sorted(kept, key=lambda item: -item[0])] or tracks[-1:]


def motion(joints: np.ndarray) -> float:
    """Sum over the axes of the variance of all joints in all frames.

    Args:
        joints: (T, V, 3).
    """
    return float(joints.reshape(-1, 3).var(axis=0, dtype=np.float64).sum())


def _assign(tracks: list[TrackedBody]) -> list[tuple[int, TrackedBody]]:
    """Pair each track with the person (0 or 1) that it belongs to; a track that fits neither is dropped."""
    spans: list[tuple[int, int] | None] = [None, None]
    assigned = []
    for track in tracks:
        start, end = int(track.frames[0]), int(track.frames[-1])
        for person, span in enumerate(spans):
            if span is None:
                spans[person] = (start, end)
            elif min(span[1], end) <= max(span[0], start):
                spans[person] = (min(span[0], start), max(span[1], end))
            else:
                continue
            assigned.append((person, track))
            break
    return assigned
