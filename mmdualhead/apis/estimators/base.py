"""What an estimator of poses is, and how one is found by its name. H, W: size of an image; V joints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from mmengine.registry import Registry

from mmdualhead.datasets.poses import Person
from mmdualhead.errors import UserError
from mmdualhead.skeletons import get_skeleton
from mmdualhead.utils.registry import registered
from mmdualhead.utils.text import and_more, printable

ESTIMATORS = Registry('estimator', scope='mmdualhead', locations=['mmdualhead.apis.estimators'])
"""The estimators by name."""


class Estimator(ABC):
    """Finds the persons in images, one after the other::

        @ESTIMATORS.register_module()
        class MyEstimator(Estimator):
            layout = 'coco'

            def estimate(self, image, time):
                return [Person(joints, scores) for joints, scores in my_network(image)]

    Attributes:
        layout: the layout of the joints, by name or definition.
        unit: of joints in space, ``'m'``, ``'cm'`` or ``'mm'``, y up; None lets the first window show whether
            they could be meters.
    """

    layout: Any
    unit: str | None = None

    @property
    def flat(self) -> bool:
        """Whether joints are pixels; otherwise they are x, y and z, and pixels are in ``Person.image``."""
        return get_skeleton(self.layout).flat

    @abstractmethod
    def estimate(self, image: np.ndarray, time: float) -> list[Person]:
        """Find the persons in the next frame.

        Args:
            image: (H, W, 3) uint8, RGB.
            time: when it was taken, in seconds from the first frame.

        Returns:
            The persons, in any order; (V, 2) or (V, 3) joints, zero where they are missing. Those without an
            ``id`` are tracked.
        """

    def close(self) -> None:  # noqa: B027
        """Release what it holds; nothing by default."""


def make_estimator(name: str, **options: Any) -> Estimator:
    """An estimator by its registered name.

    Args:
        name: of its class.
        **options: its arguments.

    Raises:
        UserError: the estimator is unknown, or takes other arguments.
    """
    kind = registered(ESTIMATORS, name)
    if kind is None:
        known = and_more(sorted(ESTIMATORS.module_dict))
        raise UserError(
            f'there is no estimator {printable(name)!r} among {known}; one of your own is registered by '
            '--import MODULE'
        )
    try:
        return kind(**options)
    except TypeError as error:
        raise UserError(f'estimator {name} with {options}: {error}') from error
