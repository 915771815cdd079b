"""The networks that a benchmark compares: from configs, or your own modules.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from mmdualhead.models.fused import can_fuse, fuse

NUM_COORDINATES = 3
PLAIN, FUSED, RECOMPUTE = '', 'fused', 'recompute'
EVAL, TRAIN = 'eval', 'train'
ZOO = 'mmaction::skeleton'
JOINTS = '8xb16-joint-u100-80e_ntu60-xsub-keypoint-3d.py'
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    'DualHead-Net': ('dualhead_ntu60_xsub_j.py', {}),
    'MS-G3D': ('msg3d_ntu60_xsub_j.py', {}),
    'CTR-GCN': ('ctrgcn_ntu60_xsub_j.py', {}),
    'STGCN': (f'{ZOO}/stgcn/stgcn_{JOINTS}', {}),
    'STGCN++': (f'{ZOO}/stgcnpp/stgcnpp_{JOINTS}', {}),
    'AAGCN': (f'{ZOO}/2s-agcn/2s-agcn_{JOINTS}', {'model.backbone.gcn_attention': True}),
}
"""Config and changes of the networks that are known by name; those with ``::`` come with MMAction2."""


MOVED = {'mmdualhead.apis.benchmark.reference:ReferenceNetwork': 'benchmarking.reference:ReferenceNetwork'}
"""Earlier names of modules."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One form of a network.

    Args:
        network: its name.
        make: builds it: a module that turns clips (N, M, T, V, C) into a tuple of logits. Must be picklable,
            since peak memory is measured in another process.
        form: what distinguishes it from other forms of the network that answer the same.
        phases: what is timed, of ``'eval'`` and ``'train'``.
        empty_persons: the share of its input's persons that are empty.
        channels: C.
        compile: the mode of torch.compile, None to leave it out; ``'reduce-overhead'`` uses CUDA graphs.
    """

    network: str
    make: Callable[[], nn.Module]
    form: str = PLAIN
    phases: tuple[str, ...] = (EVAL, TRAIN)
    empty_persons: float = 0.0
    channels: int = NUM_COORDINATES
    compile: str | None = None

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


def candidates_of(
    networks: Sequence[str], configs: Path, options: Mapping[str, Any] | None = None
) -> list[Candidate]:
    """All forms of some networks: as trained, fused, and with activations computed again.

    Args:
        networks: names out of :data:`NETWORKS`, config files, or ``module:Class`` for a module without
            arguments that is a function from clips to a tuple of logits.
        configs: the folder of the configs that :data:`NETWORKS` names.
        options: changes of every config, as ``--cfg-options`` takes them.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a config has no ``model``, or one that cannot be built.
    """
    found: list[Candidate] = []
    for network in networks:
        changes = dict(options or {})
        if network in NETWORKS:
            path, own = NETWORKS[network]
            found += _forms(network, path if '::' in path else str(configs / path), own | changes)
        elif ':' in network and '::' not in network:
            found.append(Candidate(network=network.rpartition(':')[2], make=partial(_make_class, network)))
        else:
            found += _forms(Path(network).stem, network, changes)
    return found


def with_empty_persons(candidates: Sequence[Candidate], fraction: float) -> list[Candidate]:
    """The candidates, and each fused model once more on a batch with empty persons.

    Args:
        candidates: the others always get persons that move; what they compute does not depend on it.
        fraction: the share of empty persons, more than 0 and less than 1.

    Raises:
        ValueError: the fraction is out of range.
    """
    if not 0 < fraction < 1:
        raise ValueError(f'the share of empty persons is {fraction}; it must lie between 0 and 1')
    form = f'{FUSED}, {fraction:.0%} of persons empty'
    found: list[Candidate] = []
    for one in candidates:
        found.append(one)
        if one.form == FUSED:
            found.append(replace(one, form=form, empty_persons=fraction))
    return found


def _forms(name: str, path: str, options: dict[str, Any]) -> Iterator[Candidate]:
    model = _read_model(path, options)
    channels = model.get('backbone', {}).get('in_channels', NUM_COORDINATES)
    make = partial(make_network, path, options)
    try:
        recognizer = make().recognizer
    except Exception as error:
        raise ValueError(f'{path}: the model cannot be built: {error}') from error
    plain = Candidate(network=name, make=make, channels=channels)
    yield plain
    if can_fuse(recognizer):
        yield replace(plain, form=FUSED, make=partial(make, form=FUSED), phases=(EVAL,))
    if RECOMPUTE in inspect.signature(type(recognizer)).parameters:
        yield replace(plain, form=RECOMPUTE, make=partial(make, form=RECOMPUTE), phases=(TRAIN,))


def make_network(path: str, options: Mapping[str, Any], form: str = PLAIN) -> Logits:
    """Build a form of a config's model.

    The config is read here, since another process has to make its custom imports as well.
    """
    model = _read_model(path, options)
    if form == RECOMPUTE:
        model[RECOMPUTE] = True
    with DefaultScope.overwrite_default_scope('mmaction'):
        recognizer = MODELS.build(model)
    return Logits(fuse(recognizer) if form == FUSED else recognizer)


def _read_model(path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    config = get_config(path) if '::' in path else Config.fromfile(path)
    config.merge_from_dict(dict(options))
    if 'model' not in config:
        raise ValueError(f'{path}: the config has no model')
    return config.model.to_dict()


def _make_class(source: str) -> nn.Module:
    module, _, name = MOVED.get(source, source).rpartition(':')
    return getattr(import_modules_from_strings(module), name)()
