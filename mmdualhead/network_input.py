"""The input of a network: one value, read from configs only here, and written into every checkpoint.

All code that handles clips or models takes it as an argument; it depends on neither. A pipeline step declares
what it determines by an attribute ``network_input``, see :func:`share_of`; MMAction2's steps are listed in
:data:`MMACTION2_STEPS`.

M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from inspect import signature
from typing import Any

from mmdualhead.errors import UserError
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton
from mmdualhead.utils.plain_config import saved_config
from mmdualhead.utils.registry import registered

Share = Mapping[str, Any]
"""Some fields of a :class:`NetworkInput`, by name; and ``frames``, see :func:`share_of`."""

VERSION = 1
"""The version of its form in checkpoints."""

COMPARED = ('skeleton', 'stream', 'normalization', 'img_shape')
"""The fields that must be equal in training and use."""

GEN_SKE_FEATS = frozenset({'j', 'b', 'jm', 'bm'})
"""The streams that MMAction2's ``GenSkeFeat`` supports."""

STREAM_ARGUMENTS = {'SkeletonStream': 'stream', 'GenSkeFeat': 'feats'}
"""The steps that form a stream, ours and MMAction2's, and the argument that names it."""

NO_ARGUMENTS = ('type', '_scope_')
"""Keys of a step's config that are not arguments."""

DECOMPRESSING = frozenset({'DecompressPose'})
"""Steps that decode keypoints from another form; before them, clips have none."""

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
"""The data loaders in a config."""

CUTTING = {'PadTo': 'ReplayPad'}
"""Steps that reject clips longer than ``length``, and the steps that cut them instead."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The frames of a clip that a network sees.

    Args:
        length: shorter clips are repeated to this number of frames.
        cuts: longer clips are cut to that length instead of being rejected.
        clip_len: frames of a sample, drawn uniformly.
        num_clips: number of samples.
        seed: the seed of the samples in tests.
        before_stream: frames are drawn before the stream is formed.
    """

    length: int | None = None
    cuts: bool = True
    clip_len: int | None = None
    num_clips: int = 1
    seed: int | None = None
    before_stream: bool = True

    @property
    def frames(self) -> int | None:
        """The number of frames of a sample; None if it is that of the clip."""
        return self.clip_len or self.length


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """The input that a network takes.

    Args:
        skeleton: the layout of the joints; None if unknown.
        stream: j, b, jm, bm or several joined by ``+``.
        normalization: ``'3d'`` (centered on the body, upright, shoulders along x), ``'2d'`` (pixels to -1..1
            by the size of the image), ``'body'`` (joints in any image, by the person's trunk), what a custom
            step declares, or empty for none.
        img_shape: (height, width) that the normalization uses for clips without an image size.
        min_score: joints of a lower confidence are missing, if clips are normalized by the body; else None.
        dropped_frames: the frames that the normalization drops: ``'empty'``, ``'without main person'``
            or none.
        num_person: M; None if unknown.
        channels: input channels of the first layer per joint and stream, including a score; None if the model
            does not determine it.
        sampling: the frames that are seen.
        num_classes: number of classes of the model.
        classes: their names, as far as they are known.
        scale: the median length of the bones of the clips it was trained on, as they enter the pipeline (with
            ``'2d'``: in halves of the image); None if it was not measured.
        other_steps: names of steps that declare nothing.
        recorded: the layout of the 3-D recordings from which a step takes joints in images, as
            ``VirtualCamera`` does; None if clips have the layout of the network.

    Raises:
        UserError: a field has the wrong type.
    """

    skeleton: Skeleton | None = None
    stream: str = 'j'
    normalization: str = ''
    img_shape: tuple[int, int] | None = None
    min_score: float | None = None
    dropped_frames: str = ''
    num_person: int | None = None
    channels: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    num_classes: int | None = None
    classes: tuple[str, ...] = ()
    scale: float | None = None
    other_steps: tuple[str, ...] = ()
    recorded: Skeleton | None = None

    @property
    def of_clips(self) -> NetworkInput:
        """What the clips of a data set should be: with the layout and the depth of the recordings."""
        if self.recorded is None:
            return self
        return replace(self, skeleton=self.recorded, normalization='3d', recorded=None)

    @property
    def needs_depth(self) -> bool:
        """True if clips need three coordinates."""
        return self.normalization.startswith('3d')

    @property
    def normalizes_pixels(self) -> bool:
        """True if coordinates are normalized by the size of the image."""
        return self.normalization.startswith('2d')

    @property
    def needs_picture(self) -> bool:
        """True if a clip needs the size of the image that its joints were found in."""
        return self.normalizes_pixels and self.img_shape is None

    @property
    def takes_pixels(self) -> bool:
        """True if clips are joints in an image of known size, in pixels or fractions of it."""
        return self.skeleton is not None and self.skeleton.flat and not self.takes_any_picture

    @property
    def takes_any_picture(self) -> bool:
        """True if clips are joints in an image of any size and unit."""
        return self.normalization.startswith('body')

    @classmethod
    def of_config(cls, config: Mapping[str, Any], loader: str = 'test_pipeline') -> NetworkInput:
        """The network input of a config's data loader.

        Args:
            config: the config.
            loader: ``'train_dataloader'``, ``'val_dataloader'``, ``'test_dataloader'``, or
                ``'test_pipeline'``.

        Raises:
            UserError: steps contradict each other, or a layout is invalid.
        """
        found = [cls.of_steps(steps) for steps in pipelines_of(config, loader)]
        for other in found[1:]:
            if lines := found[0].differences(other, ('one has', 'another')):
                raise UserError(f'{loader}: its data sets yield different network input: {"; ".join(lines)}')
        return (found[0] if found else cls())._completed_by(config.get('model') or {})

    @classmethod
    def of_steps(cls, steps: Iterable[Any]) -> NetworkInput:
        """The network input of a pipeline, whose steps are configs or built.

        Raises:
            UserError: two steps have different layouts.
        """
        found: dict[str, Any] = {}
        sampling: dict[str, Any] = {}
        joints = None
        for step in steps:
            share = dict(share_of(step))
            share.pop('frames', None)
            joints = share.pop('joints', joints)
            sampling |= share.pop('sampling', {})
            if 'stream' in share:
                sampling.setdefault('before_stream', bool(sampling))
            # A camera's, which sees joints of one layout in another.
            _check_layout(
                found.get('skeleton'), share.get('recorded') or share.get('skeleton'), step_name(step)
            )
            for key in ('normalization', 'stream', 'other_steps'):  # one step after the other
                if key in share and key in found:
                    joined = (
                        found[key] + share[key] if key == 'other_steps' else f'{found[key]}, {share[key]}'
                    )
                    share[key] = joined
            found |= share
        skeleton = found.get('skeleton')
        if joints and skeleton and skeleton.num_joints != joints:
            found['normalization'] += f' of {joints} joints'
        return cls(**found, sampling=Sampling(**sampling))

    @classmethod
    def of_checkpoint(cls, meta: Mapping[str, Any]) -> NetworkInput | None:
        """The network input that a checkpoint was trained with; for an older one, from its saved config.

        Args:
            meta: the checkpoint's.

        Returns:
            None if unknown.

        Raises:
            UserError: the input in the checkpoint is invalid.
            SyntaxError: its config cannot be read.
        """
        stored = meta.get('network_input')
        if isinstance(stored, Mapping) and 'version' in stored:
            return cls._of_stored(stored)
        config = saved_config(meta)
        loader = 'train_dataloader' if pipelines_of(config, 'train_dataloader') else 'test_pipeline'
        return cls.of_config(config, loader) if config else None

    @classmethod
    def _of_stored(cls, stored: Mapping[str, Any]) -> NetworkInput:
        if stored['version'] != VERSION:
            raise UserError(f'network_input of version {stored["version"]!r}, expected {VERSION}')
        known = {one.name for one in fields(cls)}
        found = {key: value for key, value in stored.items() if key in known}
        try:
            layout, shape = found.get('skeleton'), found.get('img_shape')
            found['skeleton'] = None if layout is None else get_skeleton(layout)
            found['img_shape'] = None if shape is None else tuple(map(int, shape))
            found['sampling'] = Sampling(**found.get('sampling', {}))
            for key in ('classes', 'other_steps'):
                found[key] = tuple(map(str, found.get(key, ())))
            return cls(**found)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f'network_input: {error}') from None

    def to_meta(self) -> dict[str, Any]:
        """Plain values for a checkpoint, from which :meth:`of_checkpoint` reads it."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain |= dict(sampling=asdict(self.sampling), classes=list(self.classes))
        plain |= dict(other_steps=list(self.other_steps), img_shape=self.img_shape and list(self.img_shape))
        del plain['recorded']  # of the training data, not of the network
        return {'version': VERSION, **plain, 'skeleton': self.skeleton and definition_of(self.skeleton)}

    def differences(self, other: NetworkInput, words: tuple[str, str] = ('trained with', 'now')) -> list[str]:
        """The differences from another input, one line each; fields that either leaves open are skipped.

        Args:
            other: the other input.
            words: the words before the values of this and the other.
        """
        lines = []
        for name in COMPARED:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs or (name == 'skeleton' and None in (mine, theirs)):
                continue
            shown = [_show(value) for value in (mine, theirs)]
            same = ' with other bones' if shown[0] == shown[1] else ''
            lines.append(f'{name}: {words[0]} {shown[0]}, {words[1]} {shown[1]}{same}')
        frames = [one.sampling.frames for one in (self, other)]
        if None not in frames and frames[0] != frames[1]:
            lines.append(f'frames: {words[0]} {frames[0]}, {words[1]} {frames[1]}')
        return lines

    def _completed_by(self, model: Mapping[str, Any]) -> NetworkInput:
        """The input, completed by the model's config."""
        backbone = model.get('backbone') or {}
        head = model.get('cls_head') or {}
        channels = backbone.get('in_channels')
        streams = self.stream.count('+') + 1
        return replace(
            self,
            skeleton=self.skeleton or known_skeleton(graph_of(model).get('layout')),
            num_person=self.num_person or backbone.get('num_person'),
            channels=channels // streams if isinstance(channels, int) and channels % streams == 0 else None,
            num_classes=head.get('num_classes'),
        )


def share_of(step: Any) -> Share:
    """The part of a network's input that a pipeline step, built or a config, determines.

    A step declares it by its attribute ``network_input``: fields of :class:`NetworkInput`, as a dict, or,
    where they depend on its arguments, as a static method that takes these. ``sampling`` is a dict of some
    fields of :class:`Sampling`. ``frames`` defines the frames left after the step: the key of the results
    that lists them, ``'length'`` if the clip is repeated to that length, or None if unknown.

    Returns:
        The fields; ``other_steps`` with its name for a step that declares nothing.

    Raises:
        UserError: the step has no such arguments, or they name an invalid layout.
    """
    name = step_name(step)
    kind, arguments = _taken_apart(step)
    declared = getattr(kind, 'network_input', None)
    if declared is None:
        declared = MMACTION2_STEPS.get(name)
    if declared is None:
        return {'other_steps': (name,)}
    try:
        return declared(**arguments) if callable(declared) else declared
    except (TypeError, ValueError) as error:
        raise UserError(f'the pipeline has {name}({arguments}): {error}') from None


def step_name(step: Any) -> str:
    """The class name of a pipeline step or another part, a config or built; empty if the config has none."""
    kind = step.get('type', '') if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def _taken_apart(step: Any) -> tuple[Any, dict[str, Any]]:
    """The class of a step, if it is registered, and the arguments."""
    if isinstance(step, Mapping):
        from mmaction.registry import TRANSFORMS  # takes seconds, which converters save

        kind, arguments = step['type'], {key: value for key, value in step.items() if key not in NO_ARGUMENTS}
        return registered(TRANSFORMS, kind) if isinstance(kind, str) else kind, arguments
    kind = type(step)
    given = {
        name: getattr(step, name)
        for name, parameter in signature(kind).parameters.items()
        if hasattr(step, name) and not _is_default(getattr(step, name), parameter.default)
    }
    return kind, given | ({'layout': step.skeleton} if hasattr(step, 'skeleton') else {})


def _is_default(value: Any, default: Any) -> bool:
    """Guess if an argument of a built step was not given."""
    return type(value) is type(default) and bool(value == default)


def innermost(dataset: Any) -> Iterator[Any]:
    """The data sets within RepeatDataset, ConcatDataset and the like, as configs or built."""
    is_config = isinstance(dataset, Mapping)
    inner = [
        dataset.get(key) if is_config else getattr(dataset, key, None) for key in ('datasets', 'dataset')
    ]
    parts = inner[0] or [part for part in inner[1:] if part is not None]
    if not parts and dataset is not None:
        yield dataset
    for part in parts:
        yield from innermost(part)


def datasets_of(config: Mapping[str, Any], loader: str) -> list[Mapping[str, Any]]:
    """The configs of the innermost data sets of a config's data loader."""
    loaded = config.get(loader)
    dataset = loaded.get('dataset') if isinstance(loaded, Mapping) else None
    return [part for part in innermost(dataset) if isinstance(part, Mapping)]


def pipelines_of(config: Mapping[str, Any], loader: str) -> list[Sequence[Any]]:
    """The pipelines of a config's data loader, or its ``test_pipeline``."""
    if loader == 'test_pipeline':
        return [config['test_pipeline']] if config.get('test_pipeline') else []
    return [dataset['pipeline'] for dataset in datasets_of(config, loader) if dataset.get('pipeline')]


def misplaced_steps(config: Mapping[str, Any], loader: str) -> Iterator[str]:
    """Steps that would normalize joints, but follow one that forms bones or motions; one line each."""
    for steps in pipelines_of(config, loader):
        formed = ''
        for step in steps:
            share = share_of(step)
            if formed and 'normalization' in share:
                yield f'{step_name(step)} normalizes joints, but follows {formed}'
            if share.get('stream', 'j') != 'j':
                formed = f'{step_name(step)}, which forms {share["stream"]!r}'


def graph_of(model: Mapping[str, Any]) -> Any:
    """The config of a model's graph; empty if it has none."""
    return model.get('graph_cfg') or (model.get('backbone') or {}).get('graph_cfg') or {}


def definition_of(skeleton: Skeleton) -> str | dict[str, Any]:
    """The argument of :func:`~mmdualhead.skeletons.get_skeleton` for a skeleton: its name, or its fields."""
    if SKELETONS.get(skeleton.name) == skeleton:
        return skeleton.name
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(skeleton).items()
    }


def _check_layout(one: Skeleton | None, other: Skeleton | None, name: str) -> None:
    if one and other and (one.num_joints, one.parents) != (other.num_joints, other.parents):
        raise UserError(
            f'the pipeline is of different skeleton layouts: {one.name!r}, and {other.name!r} in {name}'
        )


def known_skeleton(layout: Any) -> Skeleton | None:
    """The skeleton of a layout; None if it is not defined our way, as in graphs of MMAction2."""
    try:
        return None if layout is None else get_skeleton(layout)
    except (TypeError, ValueError, AttributeError):
        return None


def _show(value: Any) -> str:
    if isinstance(value, Skeleton):
        return f'layout {value.name!r} ({value.num_joints} joints)'
    return repr(value) if value else 'nothing'


def _pre_normalize_3d(**arguments: Any) -> Share:
    standard = dict(zaxis=[0, 1], xaxis=[8, 4], align_spine=True, align_shoulder=True, align_center=True)
    changed = {key: value for key, value in arguments.items() if value != standard.get(key)}
    normalization = '3d' + (f' with {changed}' if changed else '')
    dropped = 'without main person'
    return dict(normalization=normalization, joints=25, dropped_frames=dropped, frames=None)


def _pre_normalize_2d(img_shape: Sequence[int] | None = None) -> Share:
    return dict(normalization='2d', img_shape=None if img_shape is None else tuple(img_shape))


def _gen_ske_feat(dataset: str = 'nturgb+d', feats: Sequence[str] = ('j',), **_: Any) -> Share:
    return dict(skeleton=get_skeleton(dataset), stream='+'.join(feats))


def _sample(clip_len: int, num_clips: int = 1, test_mode: bool = False, seed: int = 255) -> Share:  # noqa: ARG001
    return dict(sampling=dict(clip_len=clip_len, num_clips=num_clips, seed=seed))


MMACTION2_STEPS: dict[str, Share | Callable[..., Share]] = {
    'PreNormalize3D': _pre_normalize_3d,
    'PreNormalize2D': _pre_normalize_2d,
    'GenSkeFeat': _gen_ske_feat,
    'JointToBone': lambda dataset='nturgb+d', **_: dict(skeleton=get_skeleton(dataset), stream='JointToBone'),
    'ToMotion': dict(stream='ToMotion'),
    'MergeSkeFeat': lambda feat_list=('keypoint',), **_: dict(stream=f'MergeSkeFeat {"+".join(feat_list)}'),
    'UniformSampleFrames': _sample,
    'PadTo': lambda length, mode='loop': dict(  # noqa: ARG005
        sampling=dict(length=length, cuts=False), frames='length'
    ),
    'PoseDecode': dict(frames='frame_inds'),
    'FormatGCNInput': lambda num_person=2, mode='zero': dict(num_person=num_person),  # noqa: ARG005
    'PackActionInputs': {},
}
"""What MMAction2's steps determine, in the form of :func:`share_of`."""
