"""The authors' checkpoints, renamed and reshaped for this package.

K graph scales or subsets, D output and C input channels, R channels of relations, W frames in a window, V
joints. The authors number their blocks (``gcn3d2_fine``) and have one convolution per branch; here a block is
an entry of a list, and the branches' 1x1 convolutions and batch norms are merged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmdualhead.models.graph import disentangled_adjacency, joint_adjacency, window_adjacency
from mmdualhead.skeletons import get_skeleton

_MMACTION2_LAYOUTS = {25: 'nturgb+d', 18: 'openpose', 17: 'coco'}
_NORM_FIELDS = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')


class AuthorsKeysError(ValueError):
    """The keys of a checkpoint match none of the authors' networks."""


@dataclass
class _Source:
    """A state dict that tracks which keys were read, to find unused ones."""

    tensors: Mapping[str, Tensor]
    read: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)

    def has(self, prefix: str) -> bool:
        return any(key.startswith(prefix) for key in self.tensors)

    def numbers(self, prefix: str) -> list[int]:
        """The numbers that follow a prefix in the keys, in order."""
        pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
        return sorted({int(match[1]) for key in self.tensors if (match := pattern.match(key))})

    def take(self, key: str) -> Tensor:
        if key not in self.tensors:
            self.missing.append(key)
            return torch.zeros(0)
        self.read.add(key)
        return self.tensors[key]


Parts = Iterator[tuple[str, Tensor]]


def from_mmaction2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a checkpoint of MMAction2's ``projects/msg3d`` to the form that MS-G3D's authors publish.

    That network aggregates a joint's neighbors with ``(A + PA)^T``, where A is another graph (the hand tips
    have other parents) with another normalization. With ``A_res = (A + PA)^T - A_authors``, which is free,
    MS-G3D computes the same.

    Args:
        state_dict: its state dict; any other is returned unchanged.

    Returns:
        The state dict under the authors' keys.

    Raises:
        AuthorsKeysError: MMAction2 has no layout with these joints.
    """
    if 'backbone.sgcn1.0.PA' not in state_dict or 'backbone.A' not in state_dict:
        return dict(state_dict)
    joints = len(state_dict['backbone.A'])
    if joints not in _MMACTION2_LAYOUTS:
        raise AuthorsKeysError(f'no layout of MMAction2 has {joints} joints')
    spatial = joint_adjacency(get_skeleton(_MMACTION2_LAYOUTS[joints]))
    renamed = {}
    for key, value in state_dict.items():
        name = key.removeprefix('backbone.').removeprefix('cls_head.')
        if name.endswith('.PA') and f'{key[:-2]}A' in state_dict:
            scales, nodes, _ = value.shape
            graph = spatial if nodes == joints else window_adjacency(spatial, nodes // joints)
            gathered = (state_dict[f'{key[:-2]}A'] + value).transpose(1, 2)
            residual = gathered - torch.from_numpy(disentangled_adjacency(graph, scales)).to(gathered)
            renamed[f'{name[:-2]}A_res'] = residual.reshape(-1, nodes)
        elif name != 'A' and not name.endswith('.A'):
            renamed[name] = value
    return renamed


def convert_authors(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Convert a state dict of the authors, recognized by its keys.

    Args:
        state_dict: of the authors' DualHead-Net, MS-G3D or CTR-GCN code; keys may begin with ``module.``.

    Returns:
        The network's name, ``'dualhead'``, ``'msg3d'`` or ``'ctrgcn'``, and its state dict in this package
        (:class:`DualHeadRecognizer`, or ``RecognizerGCN`` over :class:`STGCBackbone`).

    Raises:
        AuthorsKeysError: keys are missing, left over or of the wrong shape; they are named.
    """
    source = _Source({key.removeprefix('module.'): value for key, value in state_dict.items()})
    marks = {'gcn3d2_fine.': 'dualhead', 'sgcn2_fine.': 'dualhead', 'l1.gcn1.': 'ctrgcn'}
    name = next((network for mark, network in marks.items() if source.has(mark)), 'msg3d')
    parts = {'dualhead': _dualhead, 'msg3d': _msg3d, 'ctrgcn': _ctrgcn}[name]
    try:
        converted = dict(parts(source))
    except (RuntimeError, ValueError, IndexError) as error:
        _refuse(name, source)
        raise AuthorsKeysError(f'{name}: a tensor has an unexpected shape ({error})') from error
    _refuse(name, source)
    return name, converted


def _refuse(name: str, source: _Source) -> None:
    """Raise unless the file has every key of the network and no others."""
    unknown = [key for key in source.tensors if key not in source.read]
    if not source.missing and not unknown:
        return
    lines = [f"the keys do not fit the authors' {name} network"]
    for what, keys in (('missing', sorted(set(source.missing))), ('not known', unknown)):
        if keys:
            lines.append(f'{what} ({len(keys)}): {", ".join(keys[:10])}{", ..." if len(keys) > 10 else ""}')
    raise AuthorsKeysError('; '.join(lines))


def _dualhead(source: _Source) -> Parts:
    yield from _norm(source, 'data_bn', 'backbone.data_norm')
    yield from _block(source, 'gcn3d1', 'sgcn1', 'tcn1', 'backbone.blocks.0')
    yield from _linear(source, 'embed_fine', 'heads.fine.stem')
    for head in ('coarse', 'fine'):
        for i in (0, 1):
            gcn3d, sgcn, tcn = (f'{part}{i + 2}_{head}' for part in ('gcn3d', 'sgcn', 'tcn'))
            yield from _block(source, gcn3d, sgcn, tcn, f'heads.{head}.blocks.{i}')
        yield from _linear(source, f'fc_{head}', f'cls_head.linear.{head}')
    for i, (temporal, spatial) in enumerate((('2_to_1', '2_to_2'), ('3_to_2', '3_to_3'))):
        temporal, spatial = (
            f'conv_ta_fine_to_coarse_block_{temporal}',
            f'conv_sa_coarse_to_fine_block_{spatial}',
        )
        yield from _linear(source, temporal, f'attentions.temporal.{i}.conv')
        yield from _linear(source, spatial, f'attentions.spatial.{i}.conv')


def _msg3d(source: _Source) -> Parts:
    yield from _norm(source, 'data_bn', 'backbone.data_norm')
    for i in range(3):
        gcn3d, sgcn, tcn = (f'{part}{i + 1}' for part in ('gcn3d', 'sgcn', 'tcn'))
        yield from _block(source, gcn3d, sgcn, tcn, f'backbone.blocks.{i}')
    yield from _linear(source, 'fc', 'cls_head.fc')


def _ctrgcn(source: _Source) -> Parts:
    yield from _norm(source, 'data_bn', 'backbone.data_norm')
    for i, number in enumerate(source.numbers('l')):
        unit, ours = f'l{number}', f'backbone.blocks.{i}'
        yield from _refined_conv(source, f'{unit}.gcn1', f'{ours}.spatial')
        yield from _branches(source, f'{unit}.tcn1', f'{ours}.temporal')
        yield from _shortcut(source, f'{unit}.residual', 'conv', 'bn', f'{ours}.shortcut')
    yield from _linear(source, 'fc', 'cls_head.fc')


def _refined_conv(source: _Source, key: str, target: str) -> Parts:
    """The subsets' convolutions (D, C, 1, 1) become (K, D, C), all of psi and phi one linear map."""
    subsets = [f'{key}.convs.{k}' for k in source.numbers(f'{key}.convs.') or [0]]
    for part in ('weight', 'bias'):
        both = [f'{subset}.{conv}' for conv in ('conv1', 'conv2') for subset in subsets]
        projected = torch.cat([source.take(f'{projection}.{part}') for projection in both])
        yield (
            f'{target}.topology.project.{part}',
            projected.squeeze((2, 3)) if part == 'weight' else projected,
        )
        for conv, ours in (('conv3', target), ('conv4', f'{target}.topology')):
            stacked = torch.stack([source.take(f'{subset}.{conv}.{part}') for subset in subsets])
            yield f'{ours}.{part}', stacked.squeeze((3, 4)) if part == 'weight' else stacked
    yield f'{target}.topology.adjacency', source.take(f'{key}.PA')
    yield f'{target}.topology.alpha', source.take(f'{key}.alpha')
    yield from _norm(source, f'{key}.bn', f'{target}.norm')
    yield from _shortcut(source, f'{key}.down', '0', '1', f'{target}.shortcut')


def _block(source: _Source, gcn3d: str, sgcn: str, tcn: str, target: str) -> Parts:
    yield from _graph_conv(source, f'{sgcn}.0', f'{target}.factorized.0')
    yield from _temporal(source, f'{sgcn}.1', f'{target}.factorized.1')
    yield from _temporal(source, f'{sgcn}.2', f'{target}.factorized.2')
    for i in source.numbers(f'{gcn3d}.gcn3d.'):
        pathway, ours = f'{gcn3d}.gcn3d.{i}', f'{target}.windowed.{i}'
        yield from _graph_conv(source, f'{pathway}.gcn3d.1', ours)
        collapse = source.take(f'{pathway}.out_conv.weight')
        yield f'{ours}.collapse.weight', collapse.squeeze(-1)
        yield f'{ours}.collapse.bias', source.take(f'{pathway}.out_conv.bias')
        yield from _norm(source, f'{pathway}.out_bn', f'{ours}.out_norm')
    yield from _temporal(source, tcn, f'{target}.fuse_paths')


def _graph_conv(source: _Source, key: str, target: str) -> Parts:
    """The mixing (D, K * C, 1, 1) becomes (K, D, C), A_res (K * W * V, W * V) becomes (K, W * V, W * V)."""
    residual = source.take(f'{key}.A_res')
    nodes = residual.shape[-1] or 1
    residual = residual.reshape(-1, nodes, nodes)
    mixing = source.take(f'{key}.mlp.layers.0.weight')
    mixing = mixing.reshape(len(mixing), max(len(residual), 1), -1).transpose(0, 1).contiguous()
    yield f'{target}.conv.residual', residual
    yield f'{target}.conv.weight', mixing
    yield f'{target}.conv.bias', source.take(f'{key}.mlp.layers.0.bias')
    yield from _norm(source, f'{key}.mlp.layers.1', f'{target}.norm')


def _temporal(source: _Source, key: str, target: str) -> Parts:
    yield from _branches(source, key, target)
    yield from _shortcut(source, f'{key}.residual', 'conv', 'bn', f'{target}.shortcut')


def _branches(source: _Source, key: str, target: str) -> Parts:
    """Merge the branches: their 1x1 convolutions, first batch norms and last batch norms."""
    numbers = source.numbers(f'{key}.branches.') or [0, 1]
    *dilated, pooled, plain = (f'{key}.branches.{i}' for i in numbers)
    reduced = [*dilated, pooled]
    for part in ('weight', 'bias'):
        yield f'{target}.reduce.{part}', torch.cat([source.take(f'{branch}.0.{part}') for branch in reduced])
    yield from _norms(source, [f'{branch}.1' for branch in reduced], f'{target}.reduce_norm')
    for i, branch in enumerate(dilated):
        yield from _linear(source, f'{branch}.3.conv', f'{target}.dilated.{i}')
    yield from _linear(source, f'{plain}.0', f'{target}.plain')
    last = [*(f'{branch}.3.bn' for branch in dilated), f'{pooled}.4', f'{plain}.1']
    yield from _norms(source, last, f'{target}.norm')


def _shortcut(source: _Source, key: str, conv: str, norm: str, target: str) -> Parts:
    """The projection of a residual connection, if there is one."""
    if source.has(f'{key}.'):
        yield from _linear(source, f'{key}.{conv}', f'{target}.0')
        yield from _norm(source, f'{key}.{norm}', f'{target}.1')


def _linear(source: _Source, key: str, target: str) -> Parts:
    """A convolution or linear layer: weight and bias."""
    for part in ('weight', 'bias'):
        yield f'{target}.{part}', source.take(f'{key}.{part}')


def _norm(source: _Source, key: str, target: str) -> Parts:
    return _norms(source, [key], target)


def _norms(source: _Source, keys: list[str], target: str) -> Parts:
    """Batch norms side by side become one."""
    for part in _NORM_FIELDS[:-1]:
        yield f'{target}.{part}', torch.cat([source.take(f'{key}.{part}') for key in keys])
    counts = [source.take(f'{key}.{_NORM_FIELDS[-1]}') for key in keys]
    yield f'{target}.{_NORM_FIELDS[-1]}', counts[0]
