"""Convert the authors' checkpoints to this package's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor

from mmdualhead.engine.checkpoints import Checkpoint
from mmdualhead.errors import UserError
from mmdualhead.models.authors import AuthorsKeysError, convert_authors, from_mmaction2
from mmdualhead.program import shipped

COORDINATES = 3


def convert_checkpoint(source: str | Path, target: str | Path) -> str:
    """Convert a checkpoint of the authors to an mmengine checkpoint; it is written atomically.

    Args:
        source: the authors' ``.pt`` file of DualHead-Net, MS-G3D or CTR-GCN, or a ``.pth`` file of
            MMAction2's ``projects/msg3d``: a state dict, or a dict that contains one as ``state_dict`` or
            ``model_state_dict``.
        target: the file to write.

    Returns:
        The network's name, ``'dualhead'``, ``'msg3d'`` or ``'ctrgcn'``.

    Raises:
        FileNotFoundError: the source does not exist.
        UserError: the source is damaged or would execute code.
        AuthorsKeysError: keys are missing, unexpected, of the wrong shape or not finite; they are named, and
            nothing is written.
        OSError: the target cannot be written.
    """
    content = Checkpoint.read(source).content
    weights = content.get('model_state_dict', content.get('state_dict', content))
    try:
        _check_weights(weights)
        weights = from_mmaction2(weights)
        name, converted = convert_authors(weights)
        with DefaultScope.overwrite_default_scope('mmaction'), torch.device('meta'):
            network = MODELS.build(_authors_config(name, weights))
        Checkpoint(name, converted).check(network)
    except (AuthorsKeysError, UserError) as error:
        raise AuthorsKeysError(f'{source}: {error}') from error
    meta = {'source': Path(source).name, 'network': name}
    Checkpoint(str(target), {'meta': meta, 'state_dict': converted}).save(target)
    return name


def _check_weights(weights: Any) -> None:
    if not isinstance(weights, Mapping):
        raise AuthorsKeysError(f'not weights: a {type(weights).__name__}')
    foreign = [str(key) for key, value in weights.items() if not isinstance(value, Tensor)]
    if foreign:
        raise AuthorsKeysError(f'not weights: {", ".join(foreign[:10])}')


def _authors_config(name: str, weights: Mapping[str, Tensor]) -> ConfigDict:
    """The packaged config of an authors' network, with the sizes of its weights; the joints form a chain."""
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    joints, scales = _authors_graph(name, weights)
    model = Config.fromfile(shipped('configs') / '_base_' / 'models' / f'{name}.py').model
    owner, classifier = (model, 'fc_fine') if name == 'dualhead' else (model.backbone, 'fc')
    owner.graph_cfg = dict(
        layout=dict(joints=joints, bones=[(joint, joint - 1) for joint in range(1, joints)]), **scales
    )
    model.backbone.num_person = len(weights['data_bn.weight']) // (joints * COORDINATES)
    model.cls_head.num_classes = len(weights[f'{classifier}.bias'])
    return model


def _authors_graph(name: str, weights: Mapping[str, Tensor]) -> tuple[int, dict[str, int]]:
    """The number of joints and, if the network has them, of graph scales."""
    if name == 'ctrgcn':
        return weights['l1.gcn1.PA'].shape[-1], {}
    spatial, windowed = (weights[f'{part}.A_res'] for part in ('sgcn1.0', 'gcn3d1.gcn3d.0.gcn3d.1'))
    joints = spatial.shape[1]
    return joints, dict(gcn_scales=len(spatial) // joints, g3d_scales=len(windowed) // windowed.shape[1])
