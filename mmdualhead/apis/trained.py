"""A trained model loaded from disk, ready for prediction: network, pipeline, class names, layout and stream.

K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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

from mmdualhead.apis.hub import fetched
from mmdualhead.datasets.class_names import class_names
from mmdualhead.engine.checkpoints import Checkpoint, last_checkpoint
from mmdualhead.engine.checks import leaves
from mmdualhead.errors import UserError
from mmdualhead.evaluation.answer import name_classes
from mmdualhead.models.fused import FusedRecognizer, can_fuse, fuse
from mmdualhead.network_input import CUTTING, NetworkInput, known_skeleton, share_of, step_name
from mmdualhead.program import PACKAGE, find_config
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.half import slow_half
from mmdualhead.utils.plain_config import saved_config
from mmdualhead.utils.registry import registered
from mmdualhead.utils.text import printable

SCOPE = 'mmaction'

LARGEST = 10_000
"""The largest number in the config of a checkpoint, unless an axis of a weight is longer."""

SPARE_PARTS, SPARE_NUMBERS = 1000, 1 << 20
"""Parts and numbers that a network may have beyond a multiple of its weights."""

PACKAGED = PACKAGE / 'weights' / 'utd_mhad_j.pth'
"""The packaged model for joints in space: UTD-MHAD, joint stream."""

PACKAGED_2D = PACKAGED.with_name('utd_mhad_2d.pth')
"""The packaged model for joints in images: UTD-MHAD seen by virtual cameras."""


ModelError = UserError
"""Something given as a model cannot be used as one."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model ready for prediction, and its properties.

    Args:
        source: the file that the weights came from.
        network: the recognizer, in evaluation mode.
        config: its config.
        steps: the built steps of its test pipeline.
        frames: for each step, which frames it keeps; see :func:`~mmdualhead.network_input.share_of`.
        input: the input of the network; its ``classes`` are K names.
        skeleton: its joint layout.
        meta: the meta of the checkpoint.
        half: whether it is used in half precision.
    """

    source: Path
    network: nn.Module
    config: ConfigDict
    steps: Sequence[Callable[[dict[str, Any]], dict[str, Any] | None]]
    frames: Sequence[str | None]
    input: NetworkInput
    skeleton: Skeleton
    meta: Mapping[str, Any]
    half: bool = False
    _fused: list[FusedRecognizer] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """K names."""
        return self.input.classes

    @property
    def stream(self) -> str:
        """Its stream: j, b, jm, bm or several joined by ``+``."""
        return self.input.stream

    @property
    def num_person(self) -> int | None:
        """The number of persons in its input; None if no step sets it."""
        return self.input.num_person

    @property
    def device(self) -> torch.device:
        """Where its network is."""
        return next(self.network.parameters()).device

    def inference_form(self) -> nn.Module:
        """Its network fused, with the weights that it has now; the network itself if it cannot be fused."""
        if not can_fuse(self.network):
            return self.network
        if not self._fused or self._fused[-1].is_outdated:
            self._fused[:] = [fuse(self.network, torch.bfloat16 if self.half else None)]
        return self._fused[-1]

    def in_half(self) -> TrainedModel:
        """The model for use in half precision.

        Raises:
            ModelError: its network cannot be fused, or its device is slow at half precision.
        """
        if not can_fuse(self.network):
            raise ModelError(f'{self.source}: only DualHead-Net, MS-G3D and CTR-GCN run in half precision')
        if reason := slow_half(self.device):
            raise ModelError(f'half precision: {reason}')
        return replace(self, half=True)

    def describe(self) -> str:
        """One line of text: file, data set, stream and accuracy, as far as known."""
        known = (
            f'{self.source}, {len(self.classes)} classes, layout {self.skeleton.name}, stream {self.stream}'
        )
        accuracy = self.meta.get('accuracy')
        known += f', top-1 {100 * accuracy:.1f} % on its test split' if accuracy else ''
        about = self.meta.get('about')
        return printable(f'{known}; {about}' if about else known)


def load_trained(
    model: str | Path | Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    device: str | None = None,
) -> TrainedModel:
    """Load a model.

    Args:
        model: the name or path of a config, or a config, which needs ``weights``; a checkpoint, whose own
            config is used; a work dir, whose last checkpoint is used; or ``'hf://OWNER/NAME'``, a repository
            of the Hugging Face Hub (:func:`~mmdualhead.apis.hub.fetched`). None means the config in
            ``weights``, and without these the packaged model.
        weights: a checkpoint.
        device: where the model goes; None takes the first available one.

    Returns:
        The model.

    Raises:
        FileNotFoundError: no such file, folder or config.
        ModelError: there are no weights or no config, they do not match, or the config in the checkpoint
            names something that is not registered.
        UserError: the checkpoint is damaged, or would execute code.
    """
    config, path = _locate(fetched(model), fetched(weights))
    checkpoint = Checkpoint.read(path)
    meta = checkpoint.meta
    if config is None:
        config = _config_inside(path, meta)
        _check_sizes(path, config, checkpoint.weights)
        with _as_large_as(path, checkpoint.weights):
            network = _build_network(path, config, checkpoint)
    else:
        network = _build_network(path, config, checkpoint)
    steps = _steps_of(path, config)
    network_input = _input_of(path, config, meta)
    assert network_input.skeleton is not None  # checked there
    with DefaultScope.overwrite_default_scope(SCOPE):
        built = [TRANSFORMS.build(step) for step in steps]
    return TrainedModel(
        source=path,
        network=network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')),
        config=config,
        steps=built,
        frames=[share_of(step).get('frames', '') for step in steps],
        input=network_input,
        skeleton=network_input.skeleton,
        meta=meta,
    )


def _locate(model: Any, weights: str | Path | None) -> tuple[ConfigDict | None, Path]:
    """The config, None for the one in the checkpoint, and the checkpoint."""
    if model is None:
        return None, Path(weights or PACKAGED)
    if isinstance(model, Mapping | Config):
        named, config = 'a config', ConfigDict(getattr(model, '_cfg_dict', model))
    else:
        path = Path(model).expanduser()
        if path.is_dir() or path.suffix == '.pth' or (path.is_file() and path.suffix != '.py'):
            if weights is not None:
                raise ModelError(f'{path} already contains weights; {weights} needs a config instead')
            return None, last_checkpoint(path) if path.is_dir() else path
        # Names have no folders: work_dirs/NAME is not the config NAME.
        file = path if path.is_file() else find_config(path.name) if path.name == str(model) else None
        if file is None:
            raise FileNotFoundError(f'{model}: neither a file, a work dir nor the name of a config')
        named, config = f'the config {model}', Config.fromfile(file)._cfg_dict
    if weights is None:
        raise ModelError(f'{named} only describes an architecture; pass weights as well')
    return config, Path(weights)


def _config_inside(path: Path, meta: Mapping[str, Any]) -> ConfigDict:
    """The config stored in a checkpoint, read without executing it, if all its types are registered.

    MMEngine's registries import and call anything that a dotted ``type`` names.
    """
    try:
        config = saved_config(meta)
    except SyntaxError as error:
        raise ModelError(f'{path}: its config is not valid Python ({error})') from error
    if not config and not meta.get('cfg'):
        raise ModelError(f'{path} contains no config; also give the config of its training')
    if not isinstance(config.get('model'), Mapping):
        raise ModelError(f'{path}: its config has no model')
    for part, registry in (('model', MODELS), ('test_pipeline', TRANSFORMS)):
        _check_names(path, part, config, registry)
    return ConfigDict(config)


def _check_names(path: Path, part: str, config: Mapping[str, Any], registry: Any) -> None:
    """Refuse what MMEngine would import or download: scopes, types that are not registered, URLs."""
    for place, one in leaves([(part, config.get(part))]):
        key = place.rpartition('.')[2]
        if key == '_scope_' and one != SCOPE:
            raise ModelError(
                f'{path}: its config has {place}={one!r}, for which MMEngine would import a package'
            )
        if key == 'type' and registered(registry, str(one)) is None:
            raise ModelError(f'{path}: its config names {one!r}, which is not registered; {_advice(config)}')
        if isinstance(one, str) and '://' in one:
            raise ModelError(f'{path}: its config names the URL {one!r} ({place})')


def _advice(config: Mapping[str, Any]) -> str:
    """How to register the custom parts that a checkpoint's config needs."""
    custom = config.get('custom_imports')
    imports = custom.get('imports') if isinstance(custom, Mapping) else None
    modules = [imports] if isinstance(imports, str) else imports if isinstance(imports, list) else []
    own = [one for one in map(str, modules) if one != PACKAGE.name and one.replace('.', '').isidentifier()]
    options = ' '.join(f'--import {module}' for module in own or ['MODULE'])
    return f'import the module that registers it first, on the command line by {options}'


def _check_sizes(path: Path, config: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    """Refuse numbers that are larger than anything in the weights, before something is built of that size."""
    axes = (size for value in weights.values() for size in getattr(value, 'shape', ()))
    most = max(LARGEST, *axes) if weights else LARGEST
    for part in ('model', 'test_pipeline'):
        for place, one in leaves([(part, config.get(part))]):
            counts = place.endswith('.seed') or '.samples_per_cls[' in place  # builds nothing of that size
            if isinstance(one, int | float) and not counts and not -most <= one <= most:
                raise ModelError(f'{path}: its config has {place}={one!r:.80}, expected at most {most:,}')


@contextmanager
def _as_large_as(path: Path, weights: Mapping[str, Any]) -> Iterator[None]:
    """Limit the size of a network that is built, by the size of the weights to load into it.

    Raises:
        ModelError: the network exceeds it.
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
            raise ModelError(f'{path}: its config builds a network far larger than its weights')

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


def _build_network(path: Path, config: Mapping[str, Any], checkpoint: Checkpoint) -> nn.Module:
    """The network of a config with the weights of a checkpoint, in evaluation mode."""
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            network = MODELS.build(ConfigDict(config['model']))
    except Exception as error:  # a constructor may raise anything for a config from elsewhere
        raise ModelError(f'{path}: its config does not build a network: {error}') from error
    stored = checkpoint.meta.get('sha256')
    if stored is not None and stored != digest(checkpoint.content['state_dict']):
        raise ModelError(f'{path} is damaged: its weights are not those it was packed with')
    weights = {
        name: value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value
        for name, value in checkpoint.weights.items()
    }
    Checkpoint(str(path), weights).check(network)
    network.load_state_dict(weights, strict=False)
    return network.eval()


def digest(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: of names, types, shapes and bytes."""
    hashed = hashlib.sha256()
    for name, value in sorted(weights.items()):
        hashed.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        hashed.update(value.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def _steps_of(path: Path, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of a test; those that reject long clips are replaced by ones that cut them."""
    steps = config.get('test_pipeline')
    if not steps:
        raise ModelError(f'{path}: its config has no test_pipeline, which is needed to prepare a clip')
    return [
        dict(type=CUTTING[step_name(step)], length=step['length'])
        if step_name(step) in CUTTING and step.get('mode', 'loop') == 'loop'
        else step
        for step in steps
    ]


def _input_of(path: Path, config: Mapping[str, Any], meta: Mapping[str, Any]) -> NetworkInput:
    """The input of the network: that of the test pipeline, completed by the meta of the checkpoint.

    Raises:
        ModelError: the checkpoint and the config in use contradict each other, since one of them belongs to
            another model, or they lack the layout or the number of classes.
    """
    declared = {**meta, **(meta.get('dataset_meta') or {})}
    try:
        found = NetworkInput.of_config(config)
        trained = NetworkInput.of_checkpoint(meta) or found
    except (UserError, SyntaxError) as error:
        raise ModelError(f'{path}: {error}') from error
    if found.skeleton is None:
        raise ModelError(f'{path}: neither its test_pipeline nor its graph names the joint layout')
    if not isinstance(found.num_classes, int):
        raise ModelError(f'{path}: its config lacks model.cls_head.num_classes')
    names = declared.get('classes') or trained.classes
    trained = replace(trained, stream=declared.get('stream') or trained.stream)
    layout = known_skeleton(declared.get('layout'))
    if layout is not None and layout.num_joints != found.skeleton.num_joints:
        trained = replace(trained, skeleton=layout)
    same_frames = replace(trained, sampling=found.sampling)  # a test may see more of a clip than the training
    contradictions = same_frames.differences(found, ('it has', 'but the config in use has'))
    if len(names) > found.num_classes:  # some may be without a name
        contradictions.append(f'classes: it has {len(names)}, but the config in use has {found.num_classes}')
    if contradictions:
        raise ModelError(f'{path}: its meta contradicts its config: {"; ".join(contradictions)}')
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    names = names or class_names(Path(str(dataset.get('ann_file', ''))).stem, found.num_classes)
    return replace(found, scale=trained.scale, classes=name_classes(names, found.num_classes))
