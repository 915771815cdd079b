"""The networks that a benchmark compares, at the size of a batch.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmdualhead.models.fused import can_fuse, fuse
from mmdualhead.skeletons import SKELETONS, Skeleton

NUM_CLASSES = 60
NUM_COORDINATES = 3
MSG3D_GRAPH = dict(gcn_scales=13)
MSG3D_BLOCKS = dict(channels=(96, 192, 384), strides=(1, 2, 2))
MMACTION_LAYOUTS = ('nturgb+d', 'openpose', 'coco')
DUALHEAD, MSG3D, STGCN, STGCNPP, AAGCN = 'DualHead-Net', 'MS-G3D', 'STGCN', 'STGCN++', 'AAGCN'
PLAIN, FUSED, RECOMPUTE = '', 'fused', 'recompute'
EVAL, TRAIN = 'eval', 'train'


class Shape(NamedTuple):
    """The size of a batch."""

    clips: int
    persons: int
    frames: int
    joints: int

    def __str__(self) -> str:
        return f'({", ".join(map(str, self))})'


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One form of a network.

    Args:
        network: its name.
        make: builds it: a module that turns clips (N, M, T, V, C) into logits, or a tuple of logits. Must be
            picklable, since peak memory is measured in another process.
        form: what distinguishes it from other forms of the network that answer the same.
        phases: what is timed, of ``'eval'`` and ``'train'``.
        empty_bodies: the share of its input's bodies that are empty.
        channels: C.
    """

    network: str
    make: Callable[[], nn.Module]
    form: str = PLAIN
    phases: tuple[str, ...] = (EVAL, TRAIN)
    empty_bodies: float = 0.0
    channels: int = NUM_COORDINATES

    @property
    def name(self) -> str:
        return ', '.join(filter(None, (self.network, self.form)))


class Logits(nn.Module):
    """A recognizer as a function from clips (N, M, T, V, C) to logits."""

    def __init__(self, recognizer: nn.Module) -> None:
        super().__init__()
        self.recognizer = recognizer

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out, _ = self.recognizer.extract_feat(x.unsqueeze(1), stage='head')
        return out if isinstance(out, tuple) else (out,)


def build_network(config: dict[str, Any]) -> Logits:
    """The recognizer of a ``model`` config."""
    with DefaultScope.overwrite_default_scope('mmaction'):
        return Logits(MODELS.build(config))


def build_fused(config: dict[str, Any]) -> Logits:
    """Its inference form."""
    return Logits(fuse(build_network(config).recognizer))


def networks_of(shape: Shape, names: Sequence[str] = ()) -> list[Contestant]:
    """DualHead-Net in its three forms, MS-G3D, and MMAction2's networks of the field.

    Args:
        shape: of the batch; V chooses the layout.
        names: of the contestants; all if empty.

    Raises:
        ValueError: a name is unknown, or no layout has V joints.
    """
    fits = [skeleton for skeleton in SKELETONS.values() if skeleton.num_joints == shape.joints]
    if not fits:
        known = {skeleton.name: skeleton.num_joints for skeleton in SKELETONS.values()}
        raise ValueError(f'no layout has {shape.joints} joints (V of the shape); known: {known}')
    ours = _dualhead(fits[0], shape.persons)
    contestants = [
        *_forms(DUALHEAD, ours),
        Contestant(
            network=DUALHEAD,
            form=RECOMPUTE,
            make=partial(build_network, ours | dict(recompute=True)),
            phases=(TRAIN,),
        ),
        *_forms(MSG3D, _msg3d(fits[0], shape.persons)),
        *(
            Contestant(network=name, make=partial(build_network, config))
            for name, config in _mmaction(fits[0], shape.persons).items()
        ),
    ]
    return _chosen(contestants, names)


def networks_of_file(path: str | Path) -> list[Contestant]:
    """The network of a config file, and its inference form if it has one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no ``model``, or one that cannot be built.
    """
    config = _model_of(path)
    channels = config.get('backbone', {}).get('in_channels', NUM_COORDINATES)
    plain = Contestant(network=Path(path).stem, make=partial(_build_file, path), channels=channels)
    try:
        recognizer = plain.make().recognizer
    except Exception as error:
        raise ValueError(f'{path}: the model cannot be built: {error}') from error
    if not can_fuse(recognizer):
        return [plain]
    fused = partial(_build_file, path, build=build_fused)
    return [
        plain,
        Contestant(network=plain.network, form=FUSED, make=fused, phases=(EVAL,), channels=channels),
    ]


def with_empty_bodies(contestants: Sequence[Contestant], fraction: float) -> list[Contestant]:
    """The contestants, and each inference form once more, on a batch with empty bodies.

    Args:
        contestants: the others always get bodies that move; what they compute does not depend on it.
        fraction: the share of empty bodies, more than 0 and less than 1.

    Raises:
        ValueError: the fraction is out of range.
    """
    if not 0 < fraction < 1:
        raise ValueError(f'the share of empty bodies is {fraction}; it must lie between 0 and 1')
    form = f'{FUSED}, {fraction:.0%} of bodies empty'
    again = {
        one: Contestant(**{**vars(one), 'form': form, 'empty_bodies': fraction})
        for one in contestants
        if one.form == FUSED
    }
    return [each for one in contestants for each in (one, *filter(None, [again.get(one)]))]


def _model_of(path: str | Path) -> dict[str, Any]:
    config = Config.fromfile(path)
    if 'model' not in config:
        raise ValueError(f'{path}: the config has no model')
    return config.model.to_dict()


def _build_file(path: str | Path, build: Callable[[dict], Logits] = build_network) -> Logits:
    """In another process the file's custom imports have to be made again, so the file is read again."""
    return build(_model_of(path))


def _forms(network: str, config: dict[str, Any]) -> list[Contestant]:
    return [
        Contestant(network=network, make=partial(build_network, config)),
        Contestant(network=network, form=FUSED, make=partial(build_fused, config), phases=(EVAL,)),
    ]


def _chosen(contestants: list[Contestant], names: Sequence[str]) -> list[Contestant]:
    known = [one.name for one in contestants]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f'unknown networks {unknown}; known: {known}')
    return [one for one in contestants if one.name in (names or known)]


def _dualhead(skeleton: Skeleton, persons: int) -> dict[str, Any]:
    """All numbers are the defaults of the parts."""
    return dict(
        type='DualHeadRecognizer',
        graph_cfg=dict(layout=skeleton.name),
        backbone=dict(type='STGCBackbone', num_person=persons),
        coarse_head=dict(type='CoarseHead'),
        fine_head=dict(type='FineHead'),
        temporal_attention=dict(type='TemporalCrossAttention'),
        spatial_attention=dict(type='SpatialCrossAttention'),
        cls_head=dict(type='DualHeadClassifier', num_classes=NUM_CLASSES),
    )


def _msg3d(skeleton: Skeleton, persons: int) -> dict[str, Any]:
    graph = dict(layout=skeleton.name, **MSG3D_GRAPH)
    return _under_recognizer(
        dict(type='STGCBackbone', graph_cfg=graph, num_person=persons, **MSG3D_BLOCKS),
        MSG3D_BLOCKS['channels'][-1],
    )


def _mmaction(skeleton: Skeleton, persons: int) -> dict[str, dict[str, Any]]:
    """MMAction2's networks as its own configs have them."""
    layout = skeleton.name
    if layout not in MMACTION_LAYOUTS:
        layout = dict(num_node=skeleton.num_joints, inward=list(skeleton.edges), center=skeleton.center)
    tree, spatial = (dict(layout=layout, mode=mode) for mode in ('stgcn_spatial', 'spatial'))
    multi_scale = dict(gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn')
    backbones = {
        STGCN: dict(type='STGCN', graph_cfg=tree),
        STGCNPP: dict(type='STGCN', graph_cfg=spatial, **multi_scale),
        AAGCN: dict(type='AAGCN', graph_cfg=spatial, num_person=persons),
    }
    return {name: _under_recognizer(backbone, 256) for name, backbone in backbones.items()}


def _under_recognizer(backbone: dict[str, Any], channels: int) -> dict[str, Any]:
    head = dict(type='GCNHead', num_classes=NUM_CLASSES, in_channels=channels)
    return dict(type='RecognizerGCN', backbone=backbone, cls_head=head)
