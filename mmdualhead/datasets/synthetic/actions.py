"""The twelve actions of the synthetic data set, as tables of poses and swings.

Six differ in the large motion of the body: three pairs, each of one motion and roughly its reverse, so that
the mean pose says little. The other six share one posture and differ only in which part of one hand or foot
moves quickly, and about which axis: the task of a fine head at full frame rate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmdualhead.datasets.synthetic.kinematics import SEGMENTS, Angles, Pose, pose_angles

Key = tuple[float, Pose]


class Swing(NamedTuple):
    """A sinusoid on top of the poses: ``center + amplitude * sin(2 pi (f t + phase))``.

    Args:
        segment: the part that swings.
        amplitude: degrees (flexion, twist, abduction).
        center: degrees.
        phase: of a period.
    """

    segment: str
    amplitude: Angles
    center: Angles = (0.0, 0.0, 0.0)
    phase: float = 0.0


class Action(NamedTuple):
    """One class.

    Args:
        name: of the class.
        keys: ``(moment, pose)`` with moments from 0 to 1; one pose means that it is held.
        swings: periodic motion, all at one frequency.
        frequency: range in Hz.
        meet: for actions of two persons, the end of the clip at which they stand close: 0 first, -1 last.
        facing: for two persons, 1 if they face each other, -1 if they look away.
    """

    name: str
    keys: tuple[Key, ...]
    swings: tuple[Swing, ...] = ()
    frequency: tuple[float, float] = (0.0, 0.0)
    meet: int | None = None
    facing: int = 1

    def poses(self, progress: np.ndarray) -> np.ndarray:
        """Angles (T, V, 3) at ``progress`` (T,) in [0, 1]: smoothstep interpolation between the keys."""
        first, *rest = self.keys
        angles = np.repeat(pose_angles(first[1])[None], len(progress), axis=0)
        for (start, before), (end, after) in zip(self.keys, rest, strict=False):
            u = np.clip((progress - start) / (end - start), 0.0, 1.0)
            u = u * u * (3.0 - 2.0 * u)
            angles += u[:, None, None] * (pose_angles(after) - pose_angles(before))
        return angles

    def swung(self, cycles: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Angles (T, V, 3) that the swings add after ``cycles`` (T,) periods, times ``strength`` (T,)."""
        angles = np.zeros((len(cycles), 25, 3))
        for swing in self.swings:
            wave = np.sin(2.0 * np.pi * (cycles + swing.phase)) * strength
            angles[:, SEGMENTS[swing.segment].joint] += np.asarray(swing.center) + wave[:, None] * np.asarray(
                swing.amplitude
            )
        return angles


_STAND = {'upper arm': (4, 0, 8), 'forearm': (14, 0, 0), 'thigh': (2, 0, 3), 'shank': (-3, 0, 0)}
_CROUCH = {
    **{'spine': (-32, 0, 0), 'chest': (-8, 0, 0), 'head': (14, 0, 0), 'upper arm': (30, 0, 10)},
    **{'forearm': (30, 0, 0), 'thigh': (62, 0, 6), 'shank': (-78, 0, 0), 'foot': (16, 0, 0)},
}
_SEATED = {
    **{'spine': (-3, 0, 0), 'upper arm': (22, 0, 8), 'forearm': (58, 0, 0)},
    **{'thigh': (86, 0, 7), 'shank': (-88, 0, 0), 'foot': (2, 0, 0)},
}
_WIND_UP = {
    **{**_STAND, 'chest': (6, -28, 0), 'spine': (4, -8, 0), 'left upper arm': (45, 0, 20)},
    **{'right upper arm': (-15, -105, 85), 'right forearm': (98, 0, 0), 'right palm': (-25, 0, 0)},
    **{'right thigh': (-8, 0, 4), 'left thigh': (18, 0, 4), 'left shank': (-14, 0, 0)},
}
_RELEASE = {
    **{**_STAND, 'chest': (-14, 22, 0), 'spine': (-10, 8, 0), 'left upper arm': (-10, 0, 16)},
    **{'right upper arm': (105, -20, 18), 'right forearm': (18, 0, 0), 'right palm': (30, 0, 0)},
    **{'right thigh': (-14, 0, 4), 'left thigh': (24, 0, 4), 'left shank': (-22, 0, 0)},
}
_FOLLOW = {
    **{**_RELEASE, 'chest': (-18, 30, 0), 'right upper arm': (38, 10, -14), 'right forearm': (30, 0, 0)},
}
_HOLD = {
    **{**_STAND, 'upper arm': (22, 0, 10), 'forearm': (78, 0, 0), 'thigh': (5, 0, 5), 'shank': (-8, 0, 0)},
    **{'foot': (14, 0, 0), 'head': (-6, 0, 0)},
}


def _gait() -> tuple[Swing, ...]:
    """Legs half a period apart, each arm against the leg of its side, knees bent while the thigh swings."""
    swings = []
    for side, phase in (('left', 0.0), ('right', 0.5)):
        swings += [
            Swing(f'{side} thigh', (21, 0, 0), (5, 0, 0), phase),
            Swing(f'{side} shank', (-20, 0, 0), (-21, 0, 0), phase + 0.2),
            Swing(f'{side} foot', (6, 0, 0), (4, 0, 0), phase + 0.5),
            Swing(f'{side} upper arm', (18, 0, 0), (0, 0, 0), phase + 0.5),
            Swing(f'{side} forearm', (7, 0, 0), (6, 0, 0), phase + 0.5),
        ]
    return tuple(swings)


def _fine(name: str, segment: str, amplitude: Angles) -> Action:
    return Action(name, ((0.0, _HOLD),), (Swing(segment, amplitude),), frequency=(3.0, 5.0))


def _reversed(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    return tuple((1.0 - moment, pose) for moment, pose in reversed(keys))


_SIT = ((0.0, _STAND), (0.5, _CROUCH), (1.0, _SEATED))
_THROW = ((0.0, _STAND), (0.4, _WIND_UP), (0.62, _RELEASE), (0.78, _FOLLOW), (1.0, _STAND))

ACTIONS: tuple[Action, ...] = (
    Action('sit down', _SIT),
    Action('stand up', _reversed(_SIT)),
    Action('throw', _THROW),
    Action('catch', _reversed(_THROW)),
    Action('walk towards each other', ((0.0, _STAND),), _gait(), (0.8, 1.1), meet=-1),
    Action('walk apart', ((0.0, _STAND),), _gait(), (0.8, 1.1), meet=0, facing=-1),
    _fine('wave the hand', 'right palm', (0, 0, 40)),
    _fine('beckon with the hand', 'right palm', (40, 0, 0)),
    _fine('tap with the fingers', 'right fingers', (52, 0, 0)),
    _fine('press with the thumb', 'right thumb', (52, 0, 0)),
    _fine('tap with the foot', 'right foot', (19, 0, 0)),
    _fine('turn the foot', 'right foot', (0, 28, 0)),
)
