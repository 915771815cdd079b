"""All replacements of functions of mmengine, MMAction2, PyTorch and Python, made by one call.

:func:`apply` runs when mmdualhead is imported, before MMAction2's models are. It touches nothing on disk.
Each replacement first checks whether it is needed, and returns whether it was.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

from mmdualhead.utils.plain_arrays import PickledArray, PlainDtype, plain_scalar, reconstruct

logger = logging.getLogger('mmdualhead')

DRN_PACKAGE = 'mmaction.models.localizers.drn'
STATISTICS = ('min', 'max', 'current', 'mean')
"""The methods of mmengine's HistoryBuffer that its checkpoints refer to."""


def apply() -> list[str]:
    """Make the replacements that this installation needs.

    Returns:
        The faults of dependencies that were found and repaired.
    """
    repaired = []
    for fault, repair in REPAIRS.items():
        if repair():
            repaired.append(fault)
            logger.debug('repaired: %s', fault)
    return repaired


def add_drn() -> bool:
    """Stand in for ``localizers/drn``, which MMAction2's own models import and its wheel of 1.2.0 lacks.

    See https://github.com/open-mmlab/mmaction2/issues/2714. The stand-in's DRN raises an error that names the
    missing file.
    """
    package = find_spec('mmaction')
    folders = (package.submodule_search_locations if package else None) or ()
    relative = Path(*DRN_PACKAGE.split('.')[1:], 'drn.py')
    if DRN_PACKAGE in sys.modules or any((Path(folder) / relative).is_file() for folder in folders):
        return False

    class DRN:  # MMAction2's name
        """A stand-in for MMAction2's dense regression network, which its wheel lacks."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError(
                'this installation of mmaction2 lacks DRN; install mmaction2 from source to use it'
            )

    outer, inner = ModuleType(DRN_PACKAGE), ModuleType(f'{DRN_PACKAGE}.drn')
    outer.__path__ = []
    vars(outer)['drn'], vars(inner)['DRN'] = inner, DRN
    sys.modules.update({outer.__name__: outer, inner.__name__: inner})
    return True


def allow_own_checkpoints() -> bool:
    """Allow torch.load to read mmengine's message hub; ``weights_only`` stays on.

    torch >= 2.6 refuses the message hub that mmengine 0.10 writes into checkpoints
    (https://github.com/open-mmlab/mmengine/issues/1655). The pickles call ``getattr`` for the methods of
    HistoryBuffer; they get :func:`statistics_method`. For NumPy's own types they get stand-ins that check
    their arguments, see :mod:`mmdualhead.utils.plain_arrays`.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    file = io.BytesIO()
    torch.save({'scalar': np.float64(0), 'history': HistoryBuffer([0.0], [1])}, file)
    file.seek(0)
    try:
        torch.load(file)
        return False
    except UnpicklingError:
        pass
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (statistics_method, 'builtins.getattr'),
            (PickledArray, 'numpy.ndarray'),
            (PlainDtype, 'numpy.dtype'),
            # numpy 2 moved these two; checkpoints have the module path of the numpy that wrote them.
            *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((plain_scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )
    return True


def statistics_method(owner: type, name: str) -> Callable[..., Any]:
    """``getattr`` for checkpoints: only the statistics methods of mmengine's HistoryBuffer.

    Raises:
        UnpicklingError: the pickle asks for anything else.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(HistoryBuffer, name)
    raise UnpicklingError(f'the checkpoint asks for {name!r} of {owner!r}, which no training writes; refused')


def distribute_without_cuda() -> bool:
    """Let several processes train on the CPU with gloo if torch finds no GPU.

    mmengine would still choose a CUDA device.
    """
    import torch
    from mmengine.model import MMDistributedDataParallel

    if torch.cuda.set_device.__module__ == __name__ or torch.cuda.is_available():
        return False

    def set_no_device(_device: Any) -> None:
        """There is none."""

    original = MMDistributedDataParallel.__init__

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, 'device_ids': None})

    torch.cuda.set_device = set_no_device
    MMDistributedDataParallel.__init__ = init
    return True


def allow_half_precision() -> bool:
    """Let ``--amp`` run on the CPU, which mmengine refuses, to try it before running on a GPU."""
    import torch
    from mmengine.device import get_device
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    from mmengine.runner import amp

    if get_device() != 'cpu' or not isinstance(amp_optimizer_wrapper.GradScaler, type):
        return False

    def autocast(
        _device: Any = None, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> torch.autocast:
        return torch.autocast('cpu', dtype, enabled, cache_enabled)

    amp_optimizer_wrapper.is_cuda_available = lambda: True
    amp_optimizer_wrapper.GradScaler = partial(torch.amp.GradScaler, 'cpu')
    amp.autocast = autocast
    return True


def score_in_single_precision() -> bool:
    """Let MMAction2's heads, which use NumPy, compute loss and accuracy of bfloat16 scores in float32."""
    import torch
    from mmaction.models.heads import BaseHead

    original = BaseHead.loss_by_feat
    if hasattr(original, '__wrapped__'):
        return False

    @wraps(original)
    def loss_by_feat(self: Any, cls_scores: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(cls_scores, 'dtype', None) == torch.bfloat16:
            cls_scores = cls_scores.float()
        return original(self, cls_scores, *args, **kwargs)

    BaseHead.loss_by_feat = loss_by_feat
    return True


def read_checkpoints_without_code() -> bool:
    """Let mmengine read checkpoints by the readers of :mod:`mmdualhead.engine.checkpoints`."""
    from mmengine.runner import CheckpointLoader

    from mmdualhead.engine.checkpoints import READERS

    others = {
        prefix: reader
        for prefix, reader in READERS.items()
        if CheckpointLoader._schemes.get(prefix) is not reader
    }
    for prefix, reader in others.items():
        CheckpointLoader.register_scheme(prefix, reader, force=True)
    return bool(others)


def load_recognizers_in_full() -> bool:
    """Let MMAction2's ``init_recognizer`` load by :func:`~mmdualhead.engine.checkpoints.load_in_full`."""
    from mmaction.apis import inference

    from mmdualhead.engine.checkpoints import load_in_full

    if inference.load_checkpoint is load_in_full:
        return False
    inference.load_checkpoint = load_in_full
    return True


def end_workers_on_lost_batches() -> bool:
    """Let a data loading worker end if it cannot deliver a batch, instead of only printing why."""
    from multiprocessing.queues import Queue

    from mmdualhead.engine.loaders import end_on_lost_batch

    original = Queue._on_queue_feeder_error  # type: ignore[attr-defined]
    if hasattr(original, '__wrapped__'):
        return False

    @wraps(original)
    def on_error(error: Exception, batch: Any) -> None:
        end_on_lost_batch(error)
        original(error, batch)

    Queue._on_queue_feeder_error = staticmethod(on_error)  # type: ignore[attr-defined]
    return True


REPAIRS: dict[str, Callable[[], bool]] = {
    'mmaction2 lacks its module localizers/drn': add_drn,
    "torch.load refuses mmengine's checkpoints": allow_own_checkpoints,
    'mmengine needs CUDA for distributed training': distribute_without_cuda,
    'mmengine refuses --amp without a GPU': allow_half_precision,
    "mmaction2's heads refuse bfloat16": score_in_single_precision,
    'mmengine runs code in checkpoints': read_checkpoints_without_code,
    "init_recognizer takes weights that are not the model's": load_recognizers_in_full,
    'a data loader waits forever for a lost batch': end_workers_on_lost_batches,
}
