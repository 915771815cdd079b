"""Repairs of the packages below, each applied only where its fault is present.

:func:`apply` runs when mmdualhead is imported, before MMAction2's models are. It touches nothing on disk.
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
from typing import Any, NamedTuple

logger = logging.getLogger('mmdualhead')

DRN_PACKAGE = 'mmaction.models.localizers.drn'
STATISTICS = ('min', 'max', 'current', 'mean')
"""The methods of mmengine's HistoryBuffer that its checkpoints refer to."""


class Repair(NamedTuple):
    """A repair, and how to tell that it is needed."""

    fault: str
    is_needed: Callable[[], bool]
    repair: Callable[[], None]


def apply() -> list[str]:
    """Apply the repairs that are needed here.

    Returns:
        The faults that were found and repaired.
    """
    repaired = []
    for repair in REPAIRS:
        if repair.is_needed():
            repair.repair()
            repaired.append(repair.fault)
            logger.debug('repaired: %s', repair.fault)
    return repaired


def lacks_drn() -> bool:
    """Whether MMAction2 was installed without ``localizers/drn``, which its own models import.

    The wheel of 1.2.0 is (https://github.com/open-mmlab/mmaction2/issues/2714).
    """
    if DRN_PACKAGE in sys.modules:
        return False
    package = find_spec('mmaction')
    folders = package.submodule_search_locations if package else None
    relative = Path(*DRN_PACKAGE.split('.')[1:], 'drn.py')
    return not any((Path(folder) / relative).is_file() for folder in folders or ())


def add_drn() -> None:
    """Put a stand-in for ``localizers/drn`` among the loaded modules; its DRN says that it is missing."""

    class DRN:  # MMAction2's name
        """Stands in for MMAction2's dense regression network, which its wheel lacks."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError(
                'this installation of mmaction2 lacks DRN; install mmaction2 from source to use it'
            )

    package, module = ModuleType(DRN_PACKAGE), ModuleType(f'{DRN_PACKAGE}.drn')
    package.__path__ = []
    vars(package)['drn'], vars(module)['DRN'] = module, DRN
    sys.modules.update({package.__name__: package, module.__name__: module})


def refuses_own_checkpoints() -> bool:
    """Whether torch.load refuses the message hub that mmengine writes into checkpoints.

    torch >= 2.6 with mmengine 0.10 does (https://github.com/open-mmlab/mmengine/issues/1655).
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    file = io.BytesIO()
    torch.save({'scalar': np.float64(0), 'history': HistoryBuffer([0.0], [1])}, file)
    file.seek(0)
    try:
        torch.load(file)
    except UnpicklingError:
        return True
    return False


def allow_own_checkpoints() -> None:
    """Allow torch.load the classes that mmengine's message hub consists of; ``weights_only`` stays on.

    The pickles call ``getattr`` for the methods of HistoryBuffer. What they get is :func:`statistics_method`.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    reconstruct, scalar = np.ndarray.__reduce__(np.zeros(1))[0], np.float64(0).__reduce__()[0]
    numbers = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (statistics_method, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *(type(np.dtype(number)) for number in numbers),
            # numpy 2 moved these two; checkpoints name the place of the numpy that wrote them.
            *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )


def statistics_method(owner: type, name: str) -> Callable[..., Any]:
    """``getattr`` for checkpoints: only the statistics methods of mmengine's HistoryBuffer.

    Raises:
        UnpicklingError: anything else is asked for.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(HistoryBuffer, name)
    raise UnpicklingError(f'the checkpoint asks for {name!r} of {owner!r}, which no training writes; refused')


def lacks_cuda() -> bool:
    """Whether this torch is built without CUDA, which mmengine's distributed training takes for granted."""
    import torch

    is_repaired = torch.cuda.set_device.__module__ == __name__
    return not is_repaired and not hasattr(torch._C, '_cuda_setDevice')


def distribute_without_cuda() -> None:
    """Let several processes train on the CPU, with the backend gloo: there is no device to choose or name."""
    import torch
    from mmengine.model import MMDistributedDataParallel

    def set_no_device(_device: Any) -> None:
        """There is none."""

    original = MMDistributedDataParallel.__init__

    @wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **{**kwargs, 'device_ids': None})

    torch.cuda.set_device = set_no_device
    MMDistributedDataParallel.__init__ = init


def refuses_half_precision() -> bool:
    """Whether mmengine refuses ``--amp`` here: it asks for a GPU, although PyTorch needs none."""
    from mmengine.device import get_device
    from mmengine.optim.optimizer import amp_optimizer_wrapper

    return get_device() == 'cpu' and isinstance(amp_optimizer_wrapper.GradScaler, type)


def allow_half_precision() -> None:
    """Let mmengine's AmpOptimWrapper run on the CPU, to try there what is to run on a GPU."""
    import torch
    from mmengine.optim.optimizer import amp_optimizer_wrapper
    from mmengine.runner import amp

    def autocast(
        _device: Any = None, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> torch.autocast:
        return torch.autocast('cpu', dtype, enabled, cache_enabled)

    amp_optimizer_wrapper.is_cuda_available = lambda: True
    amp_optimizer_wrapper.GradScaler = partial(torch.amp.GradScaler, 'cpu')
    amp.autocast = autocast


def heads_refuse_bfloat16() -> bool:
    """Whether MMAction2's heads give their scores to NumPy, which doesn't know bfloat16, as they are."""
    from mmaction.models.heads import BaseHead

    return not hasattr(BaseHead.loss_by_feat, '__wrapped__')


def score_in_single_precision() -> None:
    """Let MMAction2's heads compute loss and accuracy of bfloat16 scores in float32."""
    import torch
    from mmaction.models.heads import BaseHead

    original = BaseHead.loss_by_feat

    @wraps(original)
    def loss_by_feat(self: Any, cls_scores: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(cls_scores, 'dtype', None) == torch.bfloat16:
            cls_scores = cls_scores.float()
        return original(self, cls_scores, *args, **kwargs)

    BaseHead.loss_by_feat = loss_by_feat


REPAIRS = (
    Repair('mmaction2 lacks its module localizers/drn', lacks_drn, add_drn),
    Repair("torch.load refuses mmengine's checkpoints", refuses_own_checkpoints, allow_own_checkpoints),
    Repair('mmengine needs CUDA for distributed training', lacks_cuda, distribute_without_cuda),
    Repair('mmengine refuses --amp without a GPU', refuses_half_precision, allow_half_precision),
    Repair("mmaction2's heads refuse bfloat16", heads_refuse_bfloat16, score_in_single_precision),
)
