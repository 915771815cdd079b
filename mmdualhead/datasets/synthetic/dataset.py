"""A small synthetic data set of moving persons, so that training runs anywhere and needs no download.

Twelve actions (:data:`.actions.ACTIONS`) of 20 subjects before 3 cameras, in the layout
``nturgb+d`` and in exactly the annotation format of MMAction2's PoseDataset. Unlike NTU's, the cameras
record at different times. Everything is drawn from seeded streams and rounded to 0.1 mm, so that the clips
are the same on every machine.

N clips, M persons, T frames, V = 25 joints. Positions are meters in a Kinect's camera coordinates: y up, z
away from the camera, x to the right of a person who faces it.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.synthetic.actions import ACTIONS, Action
from mmdualhead.datasets.synthetic.kinematics import forward_kinematics, plant_feet, rest_offsets, rotations
from mmdualhead.errors import UserError
from mmdualhead.skeletons import NTU

CLASSES: tuple[str, ...] = tuple(action.name for action in ACTIONS)
SUBJECTS = 20
REPETITIONS = 2
CAMERA_YAWS = (-40.0, 0.0, 40.0)
FRAME_RATE = 30.0


def _per_joint(default: float, **parts: float) -> np.ndarray:
    """One number per joint, (V, 1), by the last word of its name."""
    return np.array([[parts.get(name.split()[-1], default)] for name in NTU.joints])


JITTER = _per_joint(1.0, wrist=1.3, ankle=1.3, hand=1.6, tip=1.6, thumb=1.6, foot=1.6)
"""The sensor's noise at each joint, relative to that of the trunk."""

LOOSENESS = _per_joint(3.0, hand=12.0, tip=12.0, thumb=12.0, foot=12.0)
"""Degrees by which a segment's angles differ from clip to clip; hands and feet differ most."""


class Subject(NamedTuple):
    """The properties of one person that are the same in all clips.

    Args:
        offsets: the body, as :func:`~mmdualhead.datasets.synthetic.kinematics.rest_offsets`, (V, 3).
        habit: degrees added to all angles, (V, 3).
        tempo: factor of the speed.
        left_handed: acts with the other hand and foot.
    """

    offsets: np.ndarray
    habit: np.ndarray
    tempo: float
    left_handed: bool

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> Subject:
        """A person of 1.5 to 1.9 m, with limbs up to 6% longer or shorter than usual, alike on both sides."""
        limbs = rng.uniform(0.94, 1.06, NTU.num_joints)
        limbs[[right for _, right in NTU.pairs]] = limbs[[left for left, _ in NTU.pairs]]
        return cls(
            offsets=rest_offsets(limbs * rng.uniform(0.88, 1.12)),
            habit=rng.uniform(-4.0, 4.0, (NTU.num_joints, 3)),
            tempo=rng.uniform(0.85, 1.15),
            left_handed=bool(rng.random_sample() < 0.15),
        )


def perform(action: Action, subject: Subject, frames: int, rng: np.random.RandomState) -> np.ndarray:
    """One person's action on a floor at y = 0, starting above the origin and facing -z.

    Args:
        action: the action.
        subject: the person.
        frames: T.
        rng: the source of variation between repetitions: timing, amplitude, sway.

    Returns:
        Positions (T, V, 3).
    """
    time = np.arange(frames) / FRAME_RATE
    length = min(1.0, rng.uniform(0.6, 0.95) / subject.tempo)
    start = rng.uniform(0.0, 1.0 - length)
    progress = np.clip((np.linspace(0.0, 1.0, frames) - start) / length, 0.0, 1.0)
    angles = action.poses(progress) * rng.uniform(0.85, 1.15)

    cycles = rng.uniform(*action.frequency) * subject.tempo * time + rng.random_sample()
    angles += action.swung(cycles, np.full(frames, rng.uniform(0.8, 1.2)))
    if subject.left_handed:
        angles = angles[:, NTU.mirror]

    angles += subject.habit + rng.uniform(-1.0, 1.0, (NTU.num_joints, 3)) * LOOSENESS + _sway(time, rng)
    return plant_feet(forward_kinematics(angles, subject.offsets))


def _sway(time: np.ndarray, rng: np.random.RandomState, degrees: float = 3.0) -> np.ndarray:
    """Body sway: a slow sinusoid on every angle, (T, V, 3)."""
    shape = (NTU.num_joints, 3)
    frequency, phase = rng.uniform(0.2, 0.8, shape), rng.random_sample(shape)
    amplitude = degrees * rng.random_sample(shape)
    return amplitude * np.sin(2.0 * np.pi * (time[:, None, None] * frequency + phase))


def _stage(action: Action, actors: list[Subject], frames: int, rng: np.random.RandomState) -> np.ndarray:
    """Perform an action with one or two persons in the middle of the scene: (M, T, V, 3).

    The floor is at y = 0; a single person faces -z, two stand along the x axis.
    """
    if action.meet is None:
        return perform(action, actors[0], frames, rng)[None] @ _turn(rng.uniform(-15.0, 15.0))
    persons = []
    gap = rng.uniform(0.7, 1.0)
    for actor, side in zip(actors, (-1.0, 1.0), strict=True):
        positions = perform(action, actor, frames, rng)
        positions = positions @ _turn(action.facing * side * 90.0 + rng.uniform(-12.0, 12.0))
        meeting = positions[action.meet, 0] * (1.0, 0.0, 1.0)
        persons.append(positions - meeting + (side * gap / 2.0, 0.0, rng.uniform(-0.1, 0.1)))
    return np.stack(persons)


def _turn(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """The matrix that rotates row vectors by ``yaw`` degrees about y, then by ``pitch`` about x."""
    return (rotations(np.array([pitch, 0.0, 0.0])) @ rotations(np.array([0.0, yaw, 0.0]))).T


def _film(positions: np.ndarray, camera: int, rng: np.random.RandomState) -> np.ndarray:
    """A scene (M, T, V, 3) as the sensor records it: its view, with misplaced and jittering joints.

    The result is in camera coordinates; frames in which a person is lost are zero.
    """
    yaw, pitch = CAMERA_YAWS[camera] + rng.uniform(-8.0, 8.0), rng.uniform(-6.0, 6.0)
    place = (rng.uniform(-0.4, 0.4), -rng.uniform(0.8, 1.2), rng.uniform(2.5, 3.8))
    seen = positions @ _turn(yaw, pitch) + place
    noise = JITTER * (seen[..., 2:] / 3.0)
    jitter, misplacement = rng.normal(size=seen.shape), rng.normal(size=(len(seen), 1, *seen.shape[2:]))
    seen = seen + noise * (rng.uniform(0.003, 0.006) * jitter + 0.008 * misplacement)
    for person in seen:
        if rng.random_sample() < 0.15:
            lost = rng.randint(1, 6)
            first = rng.randint(0, len(person) - lost + 1)
            person[first : first + lost] = 0.0
    return seen


def generate(*, subjects: int = SUBJECTS, repetitions: int = REPETITIONS, seed: int = 0) -> dict[str, Any]:
    """Draw the data set.

    Args:
        subjects: number of persons; odd ones (1-based) train in the split xsub.
        repetitions: clips of each subject, action and camera.
        seed: of all random numbers.

    Returns:
        ``split``: clip names of ``xsub_train``, ``xsub_val`` (odd and even subjects), ``xview_train`` and
        ``xview_val`` (cameras 2 and 3, camera 1, as in NTU); ``annotations``: for each clip ``frame_dir``,
        ``label``, ``total_frames`` and ``keypoint`` (M, T, V, 3) float32; ``meta``: layout and class names.

    Raises:
        ValueError: fewer than two subjects, which leaves a split empty, or no repetition.
    """
    if subjects < 2 or repetitions < 1:
        raise UserError(f'need subjects >= 2 and repetitions >= 1, got {subjects} and {repetitions}')
    cast = [Subject.draw(np.random.RandomState([seed, index])) for index in range(subjects)]
    split: dict[str, list[str]] = {'xsub_train': [], 'xsub_val': [], 'xview_train': [], 'xview_val': []}
    annotations = []
    for index in product(range(subjects), range(len(CAMERA_YAWS)), range(repetitions), range(len(ACTIONS))):
        subject, camera, repetition, label = index
        rng = np.random.RandomState([seed, 1 + subject, camera, repetition, label])  # each clip's own stream
        actors = [cast[subject], cast[(subject + 2) % subjects]]
        frames = int(rng.randint(30, 61))
        keypoint = _quantize(_film(_stage(ACTIONS[label], actors, frames, rng), camera, rng))
        name = f'S001C{camera + 1:03}P{subject + 1:03}R{repetition + 1:03}A{label + 1:03}'
        annotations.append(dict(frame_dir=name, label=label, total_frames=frames, keypoint=keypoint))
        split['xsub_train' if subject % 2 == 0 else 'xsub_val'].append(name)
        split['xview_val' if camera == 0 else 'xview_train'].append(name)
    meta = dict(dataset='synthetic', layout=NTU.name, classes=list(CLASSES), normalized=False)
    return dict(split=split, annotations=annotations, meta=meta)


def _quantize(positions: np.ndarray, steps: int = 10_000) -> np.ndarray:
    """Float32, rounded to 1 / ``steps`` meters, since sine and cosine differ between machines."""
    return (np.rint(positions * steps).astype(np.int32) / steps).astype(np.float32)
