"""A config's pipelines with another stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdualhead.datasets.transforms.streams import SkeletonStream, parse_stream
from mmdualhead.errors import UserError
from mmdualhead.network_input import GEN_SKE_FEATS, STREAM_ARGUMENTS, step_name


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
        UserError: the stream is unknown, or a pipeline doesn't have exactly one step that forms streams.
    """
    parts = parse_stream(stream)

    def changed_step(step: Mapping[str, Any]) -> dict:
        """The step with the new stream; MMAction2's gives way to ours for a stream that it does not know."""
        argument = STREAM_ARGUMENTS.get(step_name(step))
        if argument == 'feats' and not set(parts) <= GEN_SKE_FEATS:
            layout = step.get('dataset', 'nturgb+d')
            return {'type': SkeletonStream.__name__, 'layout': layout, 'stream': stream}
        changed = {'feats': list(parts), 'stream': stream}
        return {**step, argument: changed[argument]} if argument else dict(step)

    def changed_steps(steps: Sequence[Mapping[str, Any]]) -> list[dict]:
        names = [step_name(step) for step in steps]
        if sum(name in STREAM_ARGUMENTS for name in names) != 1:
            raise UserError(
                f'stream {stream!r} needs exactly one step of {" or ".join(STREAM_ARGUMENTS)}, found {names}'
            )
        return [changed_step(step) for step in steps]

    def changed_dataset(dataset: Mapping[str, Any]) -> dict:
        if 'pipeline' in dataset:
            return {'pipeline': changed_steps(dataset['pipeline'])}
        return {'dataset': changed_dataset(dataset['dataset'])}

    train, val, test = (changed_dataset(config[f'{role}_dataloader']) for role in ('train', 'val', 'test'))
    return train, val, test, changed_steps(config['test_pipeline'])
