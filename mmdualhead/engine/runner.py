"""The runner of the packaged configs: MMEngine's, which reports faulty data without tracebacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import LogRecord
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import RUNNERS
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmdualhead.datasets.annotations.files import describe_missing
from mmdualhead.engine.checks import check_config
from mmdualhead.engine.loaders import allow_many_files
from mmdualhead.errors import UserError, report
from mmdualhead.evaluation.metrics import share_names
from mmdualhead.network_input import datasets_of
from mmdualhead.utils.command import one_line_errors
from mmdualhead.utils.memory import keep_freed_memory
from mmdualhead.utils.text import printable_lines


@RUNNERS.register_module()
class DataCheckRunner(Runner):
    """Ends the program with ``error: ...`` and status 1 if annotation files are missing or faulty.

    ``runner_type='DataCheckRunner'`` in a config makes MMAction2's tools/train.py and tools/test.py use it.
    Missing files end the program before anything is built.
    """

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> Runner:
        """Build a runner from a config.

        Raises:
            SystemExit: files are missing, both for training and for the test; or the config has a mistake or
                contradicts itself.
        """
        with one_line_errors():
            training = missing_files(cfg, 'train') or missing_files(cfg, 'val')
            if training and missing_files(cfg, 'test'):
                raise UserError(training)
            report((finding for finding in check_config(cfg) if finding.is_error), print)
        allow_many_files()
        keep_freed_memory()
        backend = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('backend')
        if cfg.get('launcher', 'none') != 'none' and backend == 'nccl' and not torch.cuda.is_available():
            cfg['env_cfg']['dist_cfg']['backend'] = 'gloo'  # NCCL needs GPUs
        with one_line_errors():
            return super().from_cfg(cfg)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger, in whose lines names of clips, classes and files stay printable."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(_spell_out)
        return logger

    def build_evaluator(self, evaluator: Any) -> Evaluator:
        """Build an evaluator; DualHeadMetric and MMAction2's AccMetric can both be in it."""
        built = super().build_evaluator(evaluator)
        share_names(built.metrics)
        return built

    def train(self) -> Any:
        """Train.

        Raises:
            SystemExit: the annotations for training are missing or faulty.
        """
        with _checked(missing_files(self.cfg, 'train')):
            return super().train()

    def test(self) -> Any:
        """Test.

        Raises:
            SystemExit: the annotations of the test are missing or faulty.
        """
        with _checked(missing_files(self.cfg, 'test')):
            return super().test()


def missing_files(cfg: Mapping[str, Any], phase: str) -> str:
    """A message on the first missing annotation file of a data loader; empty if all exist.

    Args:
        cfg: a complete config. ``annotations.ann_source`` describes the source of the file, unless the
            data set does.
        phase: train, val or test.
    """
    source = (cfg.get('annotations') or {}).get('ann_source', '')
    for dataset in datasets_of(cfg, f'{phase}_dataloader'):
        ann_file = dataset.get('ann_file')
        if not ann_file or not isinstance(ann_file, str):
            continue
        path = Path(dataset.get('data_root') or '', ann_file)
        if not path.exists():
            return describe_missing(path, dataset.get('ann_source') or source)
    return ''


@contextmanager
def _checked(missing: str) -> Iterator[None]:
    """:func:`one_line_errors`, after a check for missing files."""
    with one_line_errors():
        if missing:
            raise UserError(missing)
        yield


def _spell_out(record: LogRecord) -> bool:
    record.msg, record.args = printable_lines(record.getMessage()), ()
    return True
