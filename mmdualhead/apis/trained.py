"""A trained model from the disk, ready to answer: network, pipeline, class names, layout and stream.

K classes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from mmdualhead.apis.answer import name_classes
from mmdualhead.apis.hub import fetched
from mmdualhead.datasets.class_names import class_names
from mmdualhead.datasets.pipelines import step_name, step_skeleton
from mmdualhead.engine.checkpoints import load_from_local, newest_checkpoint, weights_fault, weights_of
from mmdualhead.engine.checks import leaves
from mmdualhead.program import PACKAGE, find_config
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton
from mmdualhead.utils.plain_config import saved_config
from mmdualhead.utils.registry import registered
from mmdualhead.utils.text import printable

logger = logging.getLogger('mmdualhead')

SCOPE = 'mmaction'

LARGEST = 10_000
"""A number in the config of a checkpoint may be as large, or as the longest axis of a weight."""

SPARE_PARTS, SPARE_NUMBERS = 1000, 1 << 20
"""What a network may have beyond some times what is in its weights."""

PACKAGED = PACKAGE / 'weights' / 'utd_mhad_j.pth'
"""The model that the package carries: UTD-MHAD, joints."""


class ModelError(ValueError):
    """What was named as a model can't be used as one."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model that is ready to answer, and what is known of it.

    Args:
        source: the file that the weights came from.
        network: the recognizer, in evaluation mode.
        config: its config.
        steps: the built steps of its test pipeline.
        classes: K names.
        skeleton: the layout it takes.
        stream: what it looks at: j, b, jm, bm or several joined by ``+``.
        num_person: persons it takes; None where no step says it.
        meta: what the checkpoint says of itself.
    """

    source: Path
    network: nn.Module
    config: ConfigDict
    steps: Sequence[Any]
    classes: tuple[str, ...]
    skeleton: Skeleton
    stream: str
    num_person: int | None
    meta: Mapping[str, Any]

    def describe(self) -> str:
        """One line to read: file, data set and stream, and what it reaches, as far as they are known."""
        known = (
            f'{self.source}, {len(self.classes)} classes, layout {self.skeleton.name}, stream {self.stream}'
        )
        accuracy = self.meta.get('accuracy')
        known = printable(known)
        return known + (f', top-1 {100 * accuracy:.1f} % on its test part' if accuracy else '')


def load_trained(
    model: str | Path | Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
) -> TrainedModel:
    """Load a model from whatever names one.

    Args:
        model: the name or path of a config, or a config, which needs ``weights``; a checkpoint, whose own
            config counts; a work dir, whose last checkpoint is taken; or ``'hf://OWNER/NAME'``, a repository
            of the Hugging Face Hub (:func:`~mmdualhead.apis.hub.fetched`). None takes the config that is in
            ``weights``, and without these the model that the package carries.
        weights: a checkpoint.
        device: where the model goes; None takes the first that is there.

    Returns:
        The model.

    Raises:
        FileNotFoundError: no such file, folder or config.
        ModelError: there are no weights or no config, they don't fit each other, or the config that is in
            the checkpoint asks for something that no registry knows.
        UnreadableCheckpointError: the checkpoint is damaged, or asks for code to be run.
    """
    config, path = _locate(fetched(model), fetched(weights))
    checkpoint = load_from_local(path)
    meta = checkpoint.get('meta') or {}
    if config is None:
        config = _config_inside(path, meta)
        _check_sizes(path, config, weights_of(checkpoint))
        with _as_large_as(path, weights_of(checkpoint)):
            network = _build_network(path, config, checkpoint)
    else:
        network = _build_network(path, config, checkpoint)
    steps = _build_steps(path, config)
    number = (config['model'].get('cls_head') or {}).get('num_classes')
    if not isinstance(number, int):
        raise ModelError(f'{path}: its config does not say model.cls_head.num_classes')
    skeleton, stream = _skeleton(path, steps, config['model']), _stream(steps)
    declared = {**meta, **(meta.get('dataset_meta') or {})}
    _check_declared(path, declared, number, skeleton, stream)
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    named = declared.get('classes') or class_names(Path(str(dataset.get('ann_file', ''))).stem, number)
    return TrainedModel(
        source=path,
        network=network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')),
        config=config,
        steps=steps,
        classes=name_classes(named, number),
        skeleton=skeleton,
        stream=stream,
        num_person=next((step.num_person for step in steps if hasattr(step, 'num_person')), None),
        meta=meta,
    )


def _locate(model: Any, weights: str | Path | None) -> tuple[ConfigDict | None, Path]:
    """The config, None where it is the checkpoint's own, and the checkpoint."""
    if model is None:
        return None, Path(weights or PACKAGED)
    if isinstance(model, Mapping | Config):
        named, config = 'a config', ConfigDict(getattr(model, '_cfg_dict', model))
    else:
        path = Path(model).expanduser()
        if path.is_dir():
            return None, Path(weights or _last_checkpoint(path))
        if path.suffix == '.pth' or (path.is_file() and path.suffix != '.py'):
            if weights is not None:
                raise ModelError(f'{path} has weights of its own; {weights} would need a config')
            return None, path
        # Names have no folders: work_dirs/NAME is not the config NAME.
        file = path if path.is_file() else find_config(path.name) if path.name == str(model) else None
        if file is None:
            raise FileNotFoundError(f'{model}: neither a file, a work dir nor the name of a config')
        named, config = f'the config {model}', Config.fromfile(file)._cfg_dict
    if weights is None:
        raise ModelError(f'{named} says how a model is built, not what it learned: give weights, too')
    return config, Path(weights)


def _last_checkpoint(work_dir: Path) -> Path:
    """The checkpoint that a work dir ended with; of weights alone if none can be trained further."""
    found, passed_over = newest_checkpoint(work_dir, needed=())
    if found is None:
        raise FileNotFoundError('; '.join([f'{work_dir} holds no checkpoint (*.pth)', *passed_over]))
    for reason in passed_over:
        logger.warning('passed over: %s', printable(reason))
    return found


def _config_inside(path: Path, meta: Mapping[str, Any]) -> ConfigDict:
    """The config that a checkpoint carries, read without executing it, if all its types are registered.

    MMEngine's registries import and call whatever a dotted ``type`` names.
    """
    try:
        config = saved_config(meta)
    except SyntaxError as error:
        raise ModelError(f'{path}: the config in it is no Python text ({error})') from error
    if not config and not meta.get('cfg'):
        raise ModelError(f'{path} carries no config; name the config that it was trained with, too')
    if not isinstance(config.get('model'), Mapping):
        raise ModelError(f'{path}: the config in it says no model')
    for part, registry in (('model', MODELS), ('test_pipeline', TRANSFORMS)):
        _check_names(path, part, config.get(part), registry)
    return ConfigDict(config)


def _check_names(path: Path, part: str, value: Any, registry: Any) -> None:
    """Refuse what MMEngine would import or fetch: scopes, types that are not registered, URLs."""
    for place, one in leaves([(part, value)]):
        key = place.rpartition('.')[2]
        if key == '_scope_' and one != SCOPE:
            raise ModelError(
                f'{path}: the config in it has {place}={one!r}, for which MMEngine imports a package'
            )
        if key == 'type' and registered(registry, str(one)) is None:
            raise ModelError(
                f'{path}: the config in it asks for {one!r}, which is not registered; import the module '
                'that registers it first, or name the config as a file'
            )
        if isinstance(one, str) and '://' in one:
            raise ModelError(f'{path}: the config in it names the URL {one!r} ({place})')


def _check_sizes(path: Path, config: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Refuse numbers that are larger than anything in the weights, before something is built of that size."""
    axes = (size for value in weights.values() for size in getattr(value, 'shape', ()))
    most = max(LARGEST, *axes) if weights else LARGEST
    for part in ('model', 'test_pipeline'):
        for place, one in leaves([(part, config.get(part))]):
            counts = place.endswith('.seed') or '.samples_per_cls[' in place  # builds nothing of that size
            if isinstance(one, int | float) and not counts and not -most <= one <= most:
                raise ModelError(
                    f'{path}: the config in it has {place}={one!r:.80}; at most {most:,} fits it'
                )


@contextmanager
def _as_large_as(path: Path, weights: Mapping[str, Any]) -> Iterator[None]:
    """While a network is built, it can't become much larger than the weights that are to fill it.

    Raises:
        ModelError: it would.
    """
    tensors = [value for value in weights.values() if isinstance(value, Tensor)]
    left = {
        'parts': SPARE_PARTS + 16 * len(tensors),
        'numbers': SPARE_NUMBERS + 4 * sum(map(Tensor.numel, tensors)),
    }

    def count(_module: nn.Module, _name: str, part: Any) -> None:
        left['parts'] -= 1
        left['numbers'] -= part.numel() if isinstance(part, Tensor) else 0
        if min(left.values()) < 0:
            raise ModelError(f'{path}: the config in it builds a network far larger than the weights in it')

    kinds = (
        register_module_module_registration_hook,
        register_module_parameter_registration_hook,
        register_module_buffer_registration_hook,
    )
    handles = [register(count) for register in kinds]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _build_network(path: Path, config: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> nn.Module:
    """The network of a config with the weights of a checkpoint, in evaluation mode."""
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            network = MODELS.build(ConfigDict(config['model']))
    except Exception as error:  # whatever a config of somebody else's makes of a constructor
        raise ModelError(f'{path}: its config builds no network: {error}') from error
    told = (checkpoint.get('meta') or {}).get('sha256')
    if told is not None and told != digest(checkpoint['state_dict']):
        raise ModelError(f'{path} is damaged: its weights are not those it was packed with')
    weights = {
        name: value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value
        for name, value in weights_of(checkpoint).items()
    }
    if fault := weights_fault(network, weights):
        raise ModelError(f'{path}{fault}')
    network.load_state_dict(weights, strict=False)
    return network.eval()


def digest(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: of names, types, shapes and bytes."""
    hashed = hashlib.sha256()
    for name, value in sorted(weights.items()):
        hashed.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        hashed.update(value.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def _build_steps(path: Path, config: Mapping[str, Any]) -> list[Any]:
    """The steps that a test takes, of which those that refuse long clips are replaced by ones that cut."""
    steps = config.get('test_pipeline')
    if not steps:
        raise ModelError(f'{path}: its config has no test_pipeline, which says how to prepare a clip')
    with DefaultScope.overwrite_default_scope(SCOPE):
        return [
            TRANSFORMS.build(
                dict(type='ReplayPad', length=step['length'])
                if step_name(step) == 'PadTo' and step.get('mode', 'loop') == 'loop'
                else step
            )
            for step in steps
        ]


def _stream(steps: Sequence[Any]) -> str:
    """What stream built steps form; joints where no step says it."""
    for step in steps:
        if step_name(step) == 'SkeletonStream':
            return step.stream
        if step_name(step) == 'GenSkeFeat':
            return '+'.join(step.feats)
    return 'j'


def _skeleton(path: Path, steps: Sequence[Any], model: Mapping[str, Any]) -> Skeleton:
    """The layout that the steps take, or else the model's graph."""
    if skeleton := next(filter(None, map(step_skeleton, steps)), None):
        return skeleton
    graph = model.get('graph_cfg') or (model.get('backbone') or {}).get('graph_cfg') or {}
    if graph.get('layout') is None:
        raise ModelError(f'{path}: neither its test_pipeline nor its graph says the layout of the joints')
    return get_skeleton(graph['layout'])


def _check_declared(
    path: Path, declared: Mapping[str, Any], number: int, skeleton: Skeleton, stream: str
) -> None:
    """Refuse a checkpoint whose meta and config contradict each other: one of them is another model's."""
    layout, names = declared.get('layout'), len(declared.get('classes') or ())
    known = get_skeleton(layout) if isinstance(layout, Mapping) or layout in SKELETONS else skeleton
    pairs = (
        ('number of classes', max(names, number), number),  # some may be without a name
        ('joints of the layout', known.num_joints, skeleton.num_joints),
        ('stream', declared.get('stream') or stream, stream),
    )
    contradictions = [
        f'{what} {there!r}, but the config in use {here!r}' for what, there, here in pairs if there != here
    ]
    if contradictions:
        raise ModelError(f'{path}: its meta says {"; ".join(contradictions)}')
