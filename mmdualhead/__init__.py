"""DualHead-Net for MMAction2. Importing this package registers all of its parts; a config needs only

custom_imports = dict(imports=['mmdualhead'], allow_failed_imports=False)
"""

import sys
import warnings

from mmdualhead.version import __version__, check

# `python -m mmdualhead.doctor` has to start just where the imports below fail. While Python looks for the
# module to run, for which it imports this package, sys.argv[0] is '-m'.
_DOCTOR_STARTS = sys.argv[:1] == ['-m'] and 'mmdualhead.doctor' in sys.orig_argv

REPAIRED: list[str] = []
"""The faults of the packages below that :mod:`mmdualhead.compat` made up for."""

if not _DOCTOR_STARTS:
    check()

    from mmdualhead import compat

    REPAIRED = compat.apply()

    with warnings.catch_warnings():
        # mmcv-lite warns that it lacks operators, none of which a skeleton model needs.
        warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
        from mmdualhead import apis, datasets, engine, evaluation, models  # noqa: F401

__all__ = ['REPAIRED', '__version__']
