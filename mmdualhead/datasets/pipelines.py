"""What the steps of a pipeline say: which stream, which layout, how many persons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmdualhead.datasets.annotations.checks import AnnotationError, Expectation
from mmdualhead.datasets.annotations.files import AnnotationFile
from mmdualhead.datasets.transforms.streams import parse_stream
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton

STREAM_STEPS = ('SkeletonStream', 'GenSkeFeat')
"""The steps that form streams, ours and MMAction2's."""

GEN_SKE_FEATS = {'j', 'b', 'jm', 'bm'}
"""The streams that MMAction2's step knows."""


def with_stream(config: Mapping[str, Any], stream: str) -> tuple[dict, dict, dict, list[dict]]:
    """What a config of another stream differs in, for the last line of such a config::

        _base_ = 'dualhead_ntu60_xsub_j.py'

        from mmdualhead.datasets.pipelines import with_stream

        train_dataloader, val_dataloader, test_dataloader, test_pipeline = with_stream(_base_, 'b')

    Args:
        config: the base; its pipelines form a stream by ``SkeletonStream`` or MMAction2's ``GenSkeFeat``.
        stream: j, b, jm, bm, a registered one, or several joined by ``+``.

    Returns:
        The changes to the three loaders, each of them nothing but a data set's pipeline, and the new
        ``test_pipeline``.

    Raises:
        ValueError: the stream is unknown, or a pipeline doesn't have exactly one step that forms streams.
    """
    parts = parse_stream(stream)

    def changed_step(step: Mapping[str, Any]) -> dict:
        """The step with the new stream; GenSkeFeat gives way to ours for a stream that it does not know."""
        name = step_name(step)
        if name == 'GenSkeFeat' and set(parts) <= GEN_SKE_FEATS:
            return {**step, 'feats': list(parts)}
        if name == 'GenSkeFeat':
            return {'type': 'SkeletonStream', 'layout': step.get('dataset', 'nturgb+d'), 'stream': stream}
        return {**step, 'stream': stream} if name == 'SkeletonStream' else dict(step)

    def changed_steps(steps: Sequence[Mapping[str, Any]]) -> list[dict]:
        names = [step_name(step) for step in steps]
        if sum(name in STREAM_STEPS for name in names) != 1:
            raise ValueError(
                f'stream {stream!r} needs exactly one step of {" or ".join(STREAM_STEPS)}, found {names}'
            )
        return [changed_step(step) for step in steps]

    def changed_dataset(dataset: Mapping[str, Any]) -> dict:
        if 'pipeline' in dataset:
            return {'pipeline': changed_steps(dataset['pipeline'])}
        return {'dataset': changed_dataset(dataset['dataset'])}

    train, val, test = (changed_dataset(config[f'{role}_dataloader']) for role in ('train', 'val', 'test'))
    return train, val, test, changed_steps(config['test_pipeline'])


def step_name(step: Mapping[str, Any] | Callable) -> str:
    """The class name of a pipeline's step, be it a config or built."""
    kind = step['type'] if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def pipeline_expectation(
    steps: Sequence[Any], file: AnnotationFile, num_classes: int | None = None
) -> Expectation:
    """What built steps, and a file's own meta, expect of the clips in the file.

    Args:
        steps: the steps.
        file: the annotations.
        num_classes: of the data set; the file's ``classes`` may be fewer.

    Raises:
        ValueError: two steps, or a step and the file's meta, disagree on the layout.
    """
    layouts = {step_name(step): skeleton for step in steps if (skeleton := step_skeleton(step))}
    stored = file.meta.get('layout')
    if isinstance(stored, Mapping) or stored in SKELETONS:
        layouts = {f'meta of {file.path}': get_skeleton(stored), **layouts}
    if len({(skeleton.num_joints, skeleton.parents) for skeleton in layouts.values()}) > 1:
        named = ', '.join(f'{where}: {skeleton.name!r}' for where, skeleton in layouts.items())
        raise AnnotationError(
            f'{file.path}: the pipeline and the data are of different skeleton layouts ({named})'
        )
    persons = [step.num_person for step in steps if hasattr(step, 'num_person')]
    in_3d = {'NormalizeSkeleton3D', 'PreNormalize3D'} & {step_name(step) for step in steps}
    lengths = [step.length for step in steps if step_name(step) == 'PadTo']
    classes = [count for count in (num_classes, len(file.meta.get('classes') or ())) if count]
    expected = Expectation(
        num_classes=min(classes, default=None),
        num_coordinates=3 if in_3d else None,
        num_person=persons[0] if persons else None,
        max_frames=min(lengths, default=None),
    )
    if not layouts:
        return expected
    skeleton = list(layouts.values())[-1]
    return expected._replace(num_joints=skeleton.num_joints, layout=skeleton.name)


def step_skeleton(step: Any) -> Skeleton | None:
    """The layout that a built step works on; None where it works on any."""
    if hasattr(step, 'skeleton'):
        return step.skeleton
    return get_skeleton(step.dataset) if step_name(step) in ('GenSkeFeat', 'JointToBone') else None
