"""The base class of our pipeline steps."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmdualhead.errors import UserError


class Step(BaseTransform):
    """A step that keeps its arguments as attributes of their names; a ``layout`` as ``skeleton``."""

    def require(self, is_right: Any, expected: str, found: Any) -> None:
        """Check an argument.

        Raises:
            ValueError: it is not valid.
        """
        if not is_right:
            raise UserError(f'{type(self).__name__}: expected {expected}, found {found!r}')

    def require_counts(self, **counts: Any) -> None:
        """Check arguments that count something: positive integers."""
        for name, count in counts.items():
            self.require(isinstance(count, int | np.integer) and count > 0, f'{name} of at least 1', count)

    def __repr__(self) -> str:
        shown = ', '.join(f'{name}={self._argument(name)!r}' for name in signature(type(self)).parameters)
        return f'{type(self).__name__}({shown})'

    def _argument(self, name: str) -> Any:
        if name == 'layout':
            return self.skeleton.name
        value = getattr(self, name, ...)
        return value.tolist() if isinstance(value, np.ndarray) else value


def clip_error(results: dict, fault: str) -> ValueError:
    """The error of a step about a clip."""
    return UserError(f'clip {results.get("frame_dir")!r}: {fault}')


def take(results: dict, indices: Any, axis: int, dtype: type | None = None) -> None:
    """Select frames (axis 1) or joints (axis 2) of a clip and its scores, cast to ``dtype`` if given."""
    for key in ('keypoint', 'keypoint_score'):
        if key in results:
            chosen = results[key].take(indices, axis=axis)
            results[key] = chosen.astype(dtype or chosen.dtype, copy=False)
