from pathlib import Path

import mmaction
import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config

from mmdualhead.engine.config_check import misspelt_keys
from mmdualhead.engine.config_parts import closest, known_arguments, unknown_arguments

OURS = Path(__file__).parents[2] / 'configs'
SKELETON = Path(mmaction.__path__[0], '.mim', 'configs', 'skeleton')


@pytest.mark.parametrize('path', sorted(SKELETON.glob('*/*.py')), ids=lambda path: path.stem)
def test_nothing_is_refused_that_is_legal(path):
    """Of MMAction2's configs; for ours see tests/test_configs.py."""
    config = Config.fromfile(path)._cfg_dict
    assert unknown_arguments(config) == []
    assert misspelt_keys(config) == {}


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (
            {'train_dataloader.dataset.pipeline.3.strem': 'j'},
            "pipeline[3]: SkeletonStream has no argument 'strem'. Is 'stream' meant?",
        ),
        (
            {'default_hooks.checkpoint.intervall': 2},
            "AtomicCheckpointHook has no argument 'intervall'. Is 'interval' meant?",
        ),
        ({'default_hooks.chekpoint.interval': 2}, 'no such hook. Is default_hooks.checkpoint meant?'),
        ({'default_hooks.logger.type': 'LogerHook'}, "there is no type 'LogerHook'. Is 'LoggerHook' meant?"),
        (
            {'model.backbone.num_persons': 2},
            "model.backbone: STGCBackbone has no argument 'num_persons'. Is 'num_",
        ),
        (
            {'model.heads.fine.chanels': 2},
            "model.heads.fine: FineHead has no argument 'chanels'. Is 'channels' m",
        ),
        (
            {'model.clshead.type': 'X'},
            "model: DualHeadRecognizer has no argument 'clshead'. Is 'cls_head' meant?",
        ),
        (
            {'optim_wrapper.optimizer.weight_deccay': 0},
            "SGD has no argument 'weight_deccay'. Is 'weight_decay' m",
        ),
        ({'param_scheduler.0.share': 0}, "ShareLinearLR has no argument 'share'. Is 'shares' meant?"),
        (
            {'train_dataloader.num_worker': 0},
            "a data loader has no argument 'num_worker'. Is 'num_workers' me",
        ),
        (
            {'train_dataloader.sampler.shufle': 0},
            "DefaultSampler has no argument 'shufle'. Is 'shuffle' meant?",
        ),
        ({'val_evaluator.topk_': 0}, "DualHeadMetric has no argument 'topk_'"),
        (
            {'train_cfg.max_epoch': 2},
            "EpochBasedTrainLoop has no argument 'max_epoch'. Is 'max_epochs' meant?",
        ),
        (
            {'visualizer.vis_backend': 2},
            "ActionVisualizer has no argument 'vis_backend'. Is 'vis_backends' me",
        ),
    ],
)
def test_unknown_arguments(change, complaint):
    config = Config.fromfile(OURS / 'dualhead_utd_mhad_j.py')
    config.merge_from_dict(change)
    (found,) = unknown_arguments(config._cfg_dict)
    assert complaint in found


class Base:
    def __init__(self, a, b=1):
        pass


class Passes(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**{**kwargs, 'b': c})


class Keeps(Base):
    def __init__(self, c, **kwargs):
        super().__init__(c, **kwargs)
        self.all = kwargs


def test_arguments_of_the_parent():
    assert known_arguments(Base) == ({'a', 'b'}, False)
    assert known_arguments(Passes) == ({'a', 'b', 'c'}, False)
    assert known_arguments(Keeps) == ({'c'}, True)
    assert known_arguments(MODELS.get('STGCN'))[1]  # its blocks take them
    assert known_arguments(TRANSFORMS.get('SkeletonStream')) == ({'layout', 'stream'}, False)
    assert {'lr', 'foreach'} < known_arguments(torch.optim.SGD)[0]


def test_closest():
    assert closest('Optim-Wraper', ['optim_wrapper', 'model']) == 'optim_wrapper'
    assert closest('unlike', ['optim_wrapper']) is None
