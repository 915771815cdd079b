"""The runner of the shipped configs: MMEngine's, which reports bad data in words instead of tracebacks."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import RUNNERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdualhead.datasets.annotations import AnnotationError
from mmdualhead.datasets.annotations.files import describe_missing
from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_check import config_faults, leaves
from mmdualhead.engine.findings import report_findings
from mmdualhead.engine.loaders import allow_many_files, end_on_lost_batches
from mmdualhead.evaluation.scores import ScoreError
from mmdualhead.models.build import NetworkError
from mmdualhead.skeletons import SkeletonError
from mmdualhead.utils.pickles import UnreadablePickleError

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What the system says when a program can't write any more: no space, size limit, quota."""

FAULTS = (AnnotationError, NetworkError, RunError, ScoreError, SkeletonError, UnreadablePickleError)
"""What is wrong with a run itself, and not with a program: the message is enough."""


@RUNNERS.register_module()
class DataCheckRunner(Runner):
    """Ends the program with ``error: ...`` and status 1 if annotation files are missing or faulty.

    ``runner_type='DataCheckRunner'`` in a config makes MMAction2's tools/train.py and tools/test.py use it.
    Files that are missing in any case end the program before anything is built.
    """

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> Runner:
        """Build a runner from a config.

        Raises:
            SystemExit: files are missing, both of those that a training reads and those that a test reads; or
                the config has a mistake or contradicts itself.
        """
        with exit_on_faults():
            training = missing_files(cfg, 'train') or missing_files(cfg, 'val')
            if training and missing_files(cfg, 'test'):
                raise RunError(training)
            report_findings(config_faults(cfg))
        allow_many_files()
        backend = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('backend')
        if cfg.get('launcher', 'none') != 'none' and backend == 'nccl' and not torch.cuda.is_available():
            cfg['env_cfg']['dist_cfg']['backend'] = 'gloo'  # NCCL needs GPUs
        with exit_on_faults():
            return super().from_cfg(cfg)

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Build a loader as MMEngine does, whose workers end if they can't hand over a batch."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(end_on_lost_batches, then=loader.worker_init_fn)
        return loader

    def train(self) -> Any:
        """Train.

        Raises:
            SystemExit: the annotations of the training are missing or faulty.
        """
        with exit_on_faults(missing_files(self.cfg, 'train')):
            return super().train()

    def test(self) -> Any:
        """Test.

        Raises:
            SystemExit: the annotations of the test are missing or faulty.
        """
        with exit_on_faults(missing_files(self.cfg, 'test')):
            return super().test()


def missing_files(cfg: Mapping[str, Any], phase: str) -> str:
    """In words, the first annotation file of a data loader that isn't there; nothing if all are.

    Args:
        cfg: a whole config. ``annotations.ann_source`` says where the file comes from, unless the data set
            itself does.
        phase: train, val or test.
    """
    source = (cfg.get('annotations') or {}).get('ann_source', '')
    for _, dataset in leaves([('', cfg.get(f'{phase}_dataloader'))]):
        ann_file = dataset.get('ann_file') if isinstance(dataset, Mapping) else None
        if not ann_file or not isinstance(ann_file, str):
            continue
        path = Path(dataset.get('data_root') or '', ann_file)
        if not path.exists():
            return describe_missing(path, dataset.get('ann_source') or source)
    return ''


@contextmanager
def exit_on_faults(missing: str = '') -> Iterator[None]:
    """Turn :data:`FAULTS`, and a full disk, into an end with status 1.

    Args:
        missing: what is known to be missing; ends the program at once unless it is empty.
    """
    try:
        if missing:
            raise RunError(missing)
        yield
    except FAULTS as error:
        cause: BaseException = error
        # MMEngine's registries raise it again, with their own words before it.
        while isinstance(cause.__context__, type(cause)):
            cause = cause.__context__
        sys.exit(f'error: {cause}')
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        sys.exit(f'error: {error}')
