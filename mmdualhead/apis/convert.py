"""From the authors' checkpoint files to ours."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope
from torch import Tensor

from mmdualhead.engine.checkpoints import AtomicBackend, load_from_local, non_finite
from mmdualhead.models.authors import AuthorsKeysError, convert_authors, from_mmaction2

COORDINATES = 3


def convert_checkpoint(source: str | Path, target: str | Path) -> str:
    """Write the mmengine checkpoint of one of the authors', whole or not at all.

    Args:
        source: the authors' ``.pt`` file of DualHead-Net or MS-G3D, or a ``.pth`` file of MMAction2's
            ``projects/msg3d``: a state dict, or a dict that holds one as ``state_dict`` or
            ``model_state_dict``.
        target: the file to write.

    Returns:
        The network's name, ``'dualhead'`` or ``'msg3d'``.

    Raises:
        FileNotFoundError: the source does not exist.
        UnreadableCheckpointError: the source is damaged or asks for code to be run.
        AuthorsKeysError: keys are missing, left over, of the wrong shape or not finite; they are named,
            nothing is written.
        OSError: the target can't be written.
    """
    checkpoint = load_from_local(source, map_location='cpu')
    try:
        weights = checkpoint.get('model_state_dict', checkpoint.get('state_dict', checkpoint))
        if not isinstance(weights, Mapping):
            raise AuthorsKeysError(f'not weights: a {type(weights).__name__}')
        foreign = [key for key, value in weights.items() if not isinstance(value, Tensor)]
        if foreign:
            raise AuthorsKeysError(f'not weights: {", ".join(map(str, foreign[:10]))}')
        if bad := non_finite(weights):
            raise AuthorsKeysError(f'{len(bad)} weights are not finite, {bad[0]} first')
        weights = from_mmaction2(weights)
        name, converted = convert_authors(weights)
        check_fit(authors_config(name, weights), converted)
    except AuthorsKeysError as error:
        raise AuthorsKeysError(f'{source}: {error}') from error
    file = io.BytesIO()
    torch.save({'meta': {'source': Path(source).name, 'network': name}, 'state_dict': converted}, file)
    AtomicBackend().put(file.getvalue(), target)
    return name


def check_fit(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Load weights into a network that holds no memory.

    Raises:
        AuthorsKeysError: names or shapes do not match in full.
    """
    with DefaultScope.overwrite_default_scope('mmaction'), torch.device('meta'):
        model = MODELS.build(dict(config))
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise AuthorsKeysError(f'its tensors do not fit each other: {error}') from error


def authors_config(name: str, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The config of a network of the authors', read off the shapes of its weights.

    Args:
        name: ``'dualhead'`` or ``'msg3d'``.
        weights: the authors' state dict.

    Returns:
        A config that builds a network of these shapes. The joints hang in a chain: shapes do not say the
        layout.
    """
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    spatial, windowed = (weights[f'{part}.A_res'] for part in ('sgcn1.0', 'gcn3d1.gcn3d.0.gcn3d.1'))
    num_joints = spatial.shape[1]
    layout = dict(joints=num_joints, bones=[(joint, joint - 1) for joint in range(1, num_joints)])
    graph = dict(
        layout=layout,
        gcn_scales=len(spatial) // num_joints,
        g3d_scales=len(windowed) // windowed.shape[1],
    )
    backbone = dict(
        type='STGCBackbone', num_person=len(weights['data_bn.weight']) // (num_joints * COORDINATES)
    )
    if name == 'msg3d':
        backbone |= dict(graph_cfg=graph, channels=(96, 192, 384), strides=(1, 2, 2))
        head = dict(type='GCNHead', num_classes=len(weights['fc.bias']), in_channels=384)
        return dict(type='RecognizerGCN', backbone=backbone, cls_head=head)
    return dict(
        type='DualHeadRecognizer',
        graph_cfg=graph,
        backbone=backbone,
        heads=dict(coarse=dict(type='CoarseHead'), fine=dict(type='FineHead')),
        attentions=dict(
            temporal=dict(type='TemporalAttention', source='fine', target='coarse', weighs='input'),
            spatial=dict(type='SpatialAttention', source='coarse', target='fine', weighs='output'),
        ),
        cls_head=dict(type='DualHeadClassifier', num_classes=len(weights['fc_fine.bias'])),
    )
