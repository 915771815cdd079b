"""DualHead-Net for MMAction2. Importing this package registers all of its parts; a config needs only

custom_imports = dict(imports=['mmdualhead'], allow_failed_imports=False)
"""

import gc
import importlib
import warnings

from mmdualhead.version import __version__, check

PARTS = ('models', 'datasets.skeleton_dataset', 'datasets.transforms', 'engine', 'evaluation', 'apis')

REPAIRED: list[str] = []
"""The faults in dependencies that :mod:`mmdualhead.compat` has worked around."""


def register() -> None:
    """Repair faulty dependencies and register all parts in MMAction2's registries.

    Importing mmdualhead does this. It is safe to call twice.

    Raises:
        ImportError: a dependency is missing or has an unsupported version.
    """
    check()
    # Modules are not garbage. Scanning their hundreds of thousands of objects would take the garbage
    # collector a second.
    was_on = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            # mmcv-lite warns that it lacks operators, none of which a skeleton model needs.
            warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
            REPAIRED.extend(importlib.import_module('mmdualhead.compat').apply())
            for part in PARTS:
                importlib.import_module(f'mmdualhead.{part}')
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


register()

__all__ = ['REPAIRED', '__version__', 'register']
