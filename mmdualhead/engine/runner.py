"""The runner of the shipped configs: MMEngine's, which reports bad data in words instead of tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import RUNNERS
from mmengine.runner import Runner

from mmdualhead.datasets.annotations import AnnotationError
from mmdualhead.datasets.annotations.files import describe_missing
from mmdualhead.engine.checkpoints import RunError
from mmdualhead.engine.config_check import config_faults
from mmdualhead.engine.findings import tell
from mmdualhead.utils.pickles import UnreadablePickleError


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
                the config can't be meant.
        """
        training = missing_files(cfg, 'train') or missing_files(cfg, 'val')
        testing = missing_files(cfg, 'test')
        if training and testing:
            end(training)
        with faults_in_words():
            tell(config_faults(cfg))
        backend = ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('backend')
        if cfg.get('launcher', 'none') != 'none' and backend == 'nccl' and not torch.cuda.is_available():
            cfg['env_cfg']['dist_cfg']['backend'] = 'gloo'  # NCCL needs GPUs
        return super().from_cfg(cfg)

    def train(self) -> Any:
        """Train.

        Raises:
            SystemExit: the annotations of the training are missing or faulty.
        """
        if missing := missing_files(self.cfg, 'train'):
            end(missing)
        with faults_in_words():
            return super().train()

    def test(self) -> Any:
        """Test.

        Raises:
            SystemExit: the annotations of the test are missing or faulty.
        """
        if missing := missing_files(self.cfg, 'test'):
            end(missing)
        with faults_in_words():
            return super().test()


def missing_files(cfg: Mapping[str, Any], phase: str) -> str:
    """In words, the first annotation file of a data loader that isn't there; nothing if all are.

    Args:
        cfg: a whole config. ``annotations.ann_source`` says where the file comes from, unless the data set
            itself does.
        phase: train, val or test.
    """
    source = (cfg.get('annotations') or {}).get('ann_source', '')
    for dataset in datasets_of(cfg.get(f'{phase}_dataloader')):
        path = Path(dataset.get('data_root') or '', dataset['ann_file'])
        if not path.exists():
            return describe_missing(path, dataset.get('ann_source') or source)
    return ''


def datasets_of(config: Any) -> Iterator[Mapping[str, Any]]:
    """The data sets that are named by their annotation files, also those within others."""
    if isinstance(config, Mapping):
        if isinstance(config.get('ann_file'), str) and config['ann_file']:
            yield config
        for value in config.values():
            yield from datasets_of(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from datasets_of(value)


@contextmanager
def faults_in_words() -> Iterator[None]:
    """Turn faults of the annotations and of the run into the end of the program."""
    try:
        yield
    except (AnnotationError, UnreadablePickleError, RunError) as error:
        end(str(first_cause(error)))


def first_cause(error: BaseException) -> BaseException:
    """What was raised at first; MMEngine's registries raise it again, with their own words before it."""
    while isinstance(error.__context__, type(error)):
        error = error.__context__
    return error


def end(reason: str) -> None:
    """End the program, with status 1."""
    sys.exit(f'error: {reason}')
