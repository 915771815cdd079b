"""DualHead-Net for MMAction2. Importing this package registers all of its parts; a config needs only

custom_imports = dict(imports=['mmdualhead'], allow_failed_imports=False)
"""

import gc
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmdualhead.program import starts_light
from mmdualhead.version import __version__, check

REPAIRED: list[str] = []
"""The faults of the packages below that :mod:`mmdualhead.compat` made up for."""


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector away from modules, which are not garbage, while they load and ever after.

    Looking at their hundreds of thousands of objects, at the end of the process too, takes a second.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


@_no_garbage_collection()
def register() -> None:
    """Repair the packages below and register all parts in MMAction2's registries.

    Importing mmdualhead does this, except in the programs that :mod:`mmdualhead.program` names. It is safe to
    call twice.

    Raises:
        ImportError: a package below is missing, or of a version that is not supported.
    """
    check()
    from mmdualhead import compat

    with warnings.catch_warnings():
        # mmcv-lite warns that it lacks operators, none of which a skeleton model needs.
        warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        REPAIRED.extend(compat.apply())
        for part in (
            'models',
            'datasets.skeleton_dataset',
            'datasets.transforms',
            'engine',
            'evaluation',
            'apis',
        ):
            importlib.import_module(f'mmdualhead.{part}')


if not starts_light():
    register()

__all__ = ['REPAIRED', '__version__', 'register']
