"""What the steps of a pipeline say: which stream, which layout, how many persons."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

from mmdualhead.datasets.annotations.checks import Expectation
from mmdualhead.datasets.annotations.files import AnnotationFile
from mmdualhead.datasets.transforms.streams import parse_stream
from mmdualhead.skeletons import SKELETONS, Skeleton, get_skeleton

STREAM_STEPS = {'SkeletonStream': 'stream', 'GenSkeFeat': 'feats'}


def complete_pipeline(pipeline: Sequence[dict | Callable], stream: str) -> list[dict | Callable]:
    """A copy of the pipeline whose stream step forms ``stream``.

    Raises:
        ValueError: the stream is unknown; no step, or more than one, forms streams; or the step already names
            another stream.
    """
    parts = parse_stream(stream)
    values = {'stream': stream, 'feats': list(parts)}
    steps = [copy.deepcopy(step) if isinstance(step, Mapping) else step for step in pipeline]
    forming = [step for step in steps if step_name(step) in STREAM_STEPS]
    if not forming and stream == 'j':
        return steps
    if len(forming) != 1 or not isinstance(forming[0], Mapping):
        raise ValueError(
            f'stream={stream!r} needs exactly one config of {" or ".join(STREAM_STEPS)} in the pipeline; '
            f'it has the steps {[step_name(step) for step in steps]}'
        )
    (step,) = forming
    key = STREAM_STEPS[step_name(step)]
    named = step.get(key)
    if named is not None and named != values[key]:
        raise ValueError(
            f'the data set has stream={stream!r}, but its {step_name(step)} step {key}={named!r}; '
            f'leave {key} out of the step'
        )
    step[key] = values[key]
    return steps


def step_name(step: dict | Callable) -> str:
    """The class name of a pipeline's step, be it a config or built."""
    kind = step['type'] if isinstance(step, Mapping) else type(step)
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def pipeline_expectation(steps: Sequence[Callable], file: AnnotationFile) -> Expectation:
    """What built steps expect of the clips in a file.

    Raises:
        ValueError: two steps, or a step and the file's meta, disagree on the layout.
    """
    layouts = {step_name(step): skeleton for step in steps if (skeleton := step_skeleton(step))}
    stored = file.meta.get('layout')
    if isinstance(stored, Mapping) or stored in SKELETONS:
        layouts = {f'meta of {file.path}': get_skeleton(stored), **layouts}
    if len({(skeleton.num_joints, skeleton.parents) for skeleton in layouts.values()}) > 1:
        named = ', '.join(f'{where}: {skeleton.name!r}' for where, skeleton in layouts.items())
        raise ValueError(
            f'{file.path}: the pipeline and the data are of different skeleton layouts ({named})'
        )
    persons = [step.num_person for step in steps if hasattr(step, 'num_person')]
    in_3d = {'NormalizeSkeleton3D', 'PreNormalize3D'} & {step_name(step) for step in steps}
    expected = Expectation(num_coordinates=3 if in_3d else None, num_person=persons[0] if persons else None)
    if not layouts:
        return expected
    skeleton = list(layouts.values())[-1]
    return expected._replace(num_joints=skeleton.num_joints, layout=skeleton.name)


def step_skeleton(step: Callable) -> Skeleton | None:
    """The layout that a built step works on; None where it works on any."""
    if hasattr(step, 'skeleton'):
        return step.skeleton
    return get_skeleton(step.dataset) if step_name(step) in ('GenSkeFeat', 'JointToBone') else None
