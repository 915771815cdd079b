"""From recordings to answers, in the form of OpenMMLab's inferencers.

N recordings, S samples of each, M persons, T frames, V joints, C coordinates, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.model import BaseModel

from mmdualhead.apis.answer import Answer
from mmdualhead.apis.attended import recorded
from mmdualhead.apis.readers import Recorded
from mmdualhead.apis.recordings import Item, RecordingError, find_recordings
from mmdualhead.apis.suitable import suit
from mmdualhead.apis.trained import ModelError, TrainedModel, load_trained
from mmdualhead.datasets.pipelines import step_name
from mmdualhead.evaluation.fusion import parse_weights
from mmdualhead.evaluation.scores import FUSED, head_scores
from mmdualhead.models.ops import standard_operations
from mmdualhead.utils.files import write_text

SMALL = 1 << 16
"""Coordinates up to which PyTorch's operations are as fast as ours, whose first call takes a second."""

ON_ERROR = ('raise', 'skip')


@dataclass(frozen=True)
class Prepared:
    """A recording on its way into the networks.

    Args:
        recording: as it was read, in the layout of the models.
        packed: for each model what its pipeline made of it.
        frames: for each model (S, T') the frames it sees; None where its pipeline does not say.
    """

    recording: Recorded
    packed: Sequence[Mapping[str, Any]]
    frames: Sequence[np.ndarray | None]


class SkeletonInferencer(BaseInferencer):
    """Answers what is done in a recording::

        from mmdualhead.apis import SkeletonInferencer

        (answer,) = SkeletonInferencer()('a1_s2_t1_skeleton.mat')['predictions']
        print(answer.top(5))

    The scores of a recording are those of a test of the same config, whatever the batch.

    Args:
        model: what :func:`~mmdualhead.apis.trained.load_trained` takes: a checkpoint, a work dir, a config's
            name or path (with ``weights``), or None for the model that the package carries. A list of
            checkpoints or work dirs is fused, one per stream; each forms its own stream from the joints.
        weights: the checkpoint of a config, or a list of them.
        device: where the networks run; the first that is there by default.
        stream_weights: how streams are weighed: ``'equal'``, a ratio such as ``'2:2:1:1'``, or numbers.
        show_progress: show a bar.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ModelError: something named as a model is not one, or the streams don't fit together.
        UnreadableCheckpointError: a checkpoint is damaged, or asks for code to be run.
    """

    preprocess_kwargs = {'layout', 'unit', 'img_shape', 'split', 'most_active', 'on_error'}  # noqa: RUF012
    visualize_kwargs = {'vis_out_dir'}  # noqa: RUF012
    postprocess_kwargs = {'pred_out_file', 'top'}  # noqa: RUF012

    def __init__(
        self,
        model: Any = None,
        weights: Any = None,
        device: str | None = None,
        stream_weights: str | Sequence[float] = 'equal',
        show_progress: bool = False,
    ) -> None:
        # Not MMEngine's, which executes the config in a checkpoint.
        models, files = (one if isinstance(one, list | tuple) else [one] for one in (model, weights))
        size = max(len(models), len(files))
        models, files = (list(one) * size if len(one) == 1 else list(one) for one in (models, files))
        if not len(models) == len(files) == size:
            raise ModelError(f'{len(models)} models and {len(files)} weights: expected as many of both')
        self.models = [load_trained(*pair, device) for pair in zip(models, files, strict=True)]
        self.shares = _shares(self.models, stream_weights)
        first = self.models[0]
        self.model, self.cfg = first.network, first.config
        self.pipeline = self._init_pipeline(self.cfg)
        self.scope, self.collate_fn, self.visualizer = 'mmaction', pseudo_collate, None
        self.show_progress = show_progress
        self.left_out: dict[str, str] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.models[0].classes

    def _init_pipeline(self, cfg: Any) -> Callable:  # noqa: ARG002
        """The test pipeline of the first model, from an annotation to what its network takes."""
        return lambda annotation: run_steps(self.models[0].steps, annotation)[0]

    def __call__(
        self, inputs: Any, return_datasamples: bool = False, batch_size: int = 1, **kwargs: Any
    ) -> dict[str, Any]:
        """Answer for recordings.

        Args:
            inputs: what :func:`~mmdualhead.apis.recordings.find_recordings` takes: arrays, files,
                directories, annotation files, poses, or a list of these, of any lengths.
            return_datasamples: give MMAction2's data samples instead of answers.
            batch_size: recordings that go through the network at once.
            **kwargs: ``layout``, the layout of arrays that are not in the model's; ``unit`` of arrays and
                files of one's own, ``'m'``, ``'cm'`` or ``'mm'``; ``img_shape`` (height, width) for joints in
                pixels; ``split`` of annotation files; ``most_active=True`` to keep the most active of too
                many persons; ``on_error='skip'`` to leave out recordings that can't be answered;
                ``vis_out_dir``, a directory for a page per recording; ``pred_out_file``, a JSON file for the
                answers, with ``top`` classes each.

        Returns:
            ``predictions``: an :class:`~mmdualhead.apis.answer.Answer` for each recording that was not left
            out; ``visualization``: the index page, or None; ``left_out``: what is wrong with each recording
            that was, by its name.

        Raises:
            RecordingError: a recording can't be answered; names the file, the person and the field.
        """
        prepare, forward, visualize, postprocess = self._dispatch_kwargs(**kwargs)
        answers = list(self.iterate(inputs, batch_size=batch_size, **prepare, **forward))
        visualization = self.visualize(inputs, answers, **visualize)
        return self.postprocess(answers, visualization, return_datasamples, **postprocess)

    def iterate(self, inputs: Any, batch_size: int = 1, **kwargs: Any) -> Iterator[Answer]:
        """The answers one after the other; arguments as for a call. What was left out is in ``left_out``."""
        items = find_recordings(inputs, kwargs.get('img_shape'), kwargs.pop('split', None))
        batches: Iterable[list[Prepared]] = self.preprocess(items, batch_size, **kwargs)
        if self.show_progress:
            from rich.console import Console
            from rich.progress import track

            console = Console(stderr=True)
            batches = track(batches, 'Recordings', -(-len(items) // batch_size), console=console)
        for batch in batches:
            yield from self.forward(batch)

    def preprocess(
        self,
        inputs: Sequence[Item],
        batch_size: int = 1,
        on_error: str = 'raise',
        **options: Any,
    ) -> Iterator[list[Prepared]]:
        """Batches of recordings, read and prepared one by one; options as for :meth:`__call__`."""
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error is {on_error!r}, expected one of {ON_ERROR}')
        self.left_out, batch = {}, []
        for item in inputs:
            try:
                batch.append(self.prepare(item, **options))
            except RecordingError as error:
                if on_error == 'raise':
                    raise
                self.left_out[item.name] = str(error)
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def prepare(self, item: Item, **options: Any) -> Prepared:
        """Read a recording, check it, and run the pipelines of the models.

        Args:
            item: the recording.
            **options: ``layout``, ``unit``, ``img_shape`` and ``most_active``, see
                :func:`~mmdualhead.apis.suitable.suit`.

        Raises:
            RecordingError: it can't be read or answered.
        """
        try:
            recording = suit(item.read(), self.models[0], **options)
            runs = [run_steps(model.steps, annotation_of(recording)) for model in self.models]
        except (ValueError, OSError, KeyError, TypeError, IndexError, AssertionError) as error:
            reason = str(error) or type(error).__name__
            reason = f'the pipeline needs the field {reason}' if isinstance(error, KeyError) else reason
            named = reason if item.name in reason else f'{item.name}: {reason}'
            raise RecordingError(named) from error
        except MemoryError as error:
            raise RecordingError(f'{item.name}: it does not fit into memory') from error
        packed, frames = zip(*runs, strict=True)
        return Prepared(recording, packed, frames)

    @torch.no_grad()
    def forward(self, inputs: Sequence[Prepared], **_: Any) -> list[Answer]:
        """The answers for a batch."""
        looks = []
        for i, model in enumerate(self.models):
            shapes = {one.packed[i]['inputs'].shape for one in inputs}
            # Pipelines that keep a clip's length give batches that can't be stacked.
            groups = [inputs] if len(shapes) == 1 else [[one] for one in inputs]
            looks.append([look for group in groups for look in _look(model, i, group)])
        return [
            self._answer(one, per_model)
            for one, per_model in zip(inputs, zip(*looks, strict=True), strict=True)
        ]

    def _answer(self, prepared: Prepared, looks: Sequence[Look]) -> Answer:
        recording, first = prepared.recording, self.models[0]
        shared = [head for head in looks[0].scores if all(head in look.scores for look in looks)]
        label = recording.label
        if isinstance(label, str):
            label = self.classes.index(label) if label in self.classes else None
        keypoint = recording.keypoint
        if recording.keypoint_score is not None:
            keypoint = np.concatenate([keypoint, recording.keypoint_score[..., None]], -1)
        streams = [model.stream for model in self.models]
        return Answer(
            name=recording.name,
            source=recording.source,
            scores={head: _mix([look.scores[head] for look in looks], self.shares) for head in shared},
            classes=self.classes,
            keypoint=np.asarray(keypoint, np.float32),
            skeleton=first.skeleton,
            when=_mix_all([look.when for look in looks], self.shares),
            where=_mix_all([look.where for look in looks], self.shares),
            frames=prepared.frames[0],
            streams={stream: look.scores for stream, look in zip(streams, looks, strict=True)},
            true_label=label if label is None or 0 <= label < len(self.classes) else None,
        )

    def visualize(
        self,
        inputs: Any,  # noqa: ARG002
        preds: Sequence[Answer],
        vis_out_dir: str | Path | None = None,
    ) -> Path | None:
        """Write a page per recording and an index page; see :mod:`mmdualhead.visualization`.

        Returns:
            The index page; None without ``vis_out_dir``.
        """
        if vis_out_dir is None or not preds:
            return None
        from mmdualhead.visualization.pages import write_pages

        return write_pages(preds, vis_out_dir)

    def postprocess(
        self,
        preds: Sequence[Answer],
        visualization: Path | None,
        return_datasamples: bool = False,
        pred_out_file: str | Path | None = None,
        top: int = 5,
    ) -> dict[str, Any]:
        """What a call returns; see :meth:`__call__`."""
        if pred_out_file is not None:
            content = dict(predictions=[answer.to_dict(top) for answer in preds], left_out=self.left_out)
            write_text(pred_out_file, json.dumps(content, indent=1) + '\n')
        predictions = [_data_sample(answer) for answer in preds] if return_datasamples else list(preds)
        return dict(predictions=predictions, visualization=visualization, left_out=dict(self.left_out))


@dataclass(frozen=True)
class Look:
    """What one model says of one recording: scores by head, and its attentions; see ``Answer``."""

    scores: Mapping[str, np.ndarray]
    when: np.ndarray | None
    where: np.ndarray | None


def _shares(models: Sequence[TrainedModel], weights: str | Sequence[float]) -> np.ndarray:
    """The share of each model in the fused scores, after checking that the models fit together."""
    first = models[0]
    for model in models[1:]:
        for what in ('classes', 'num_person'):
            if getattr(model, what) != getattr(first, what):
                raise ModelError(f'{first.source} and {model.source} differ in their {what}')
        if (model.skeleton.joints, model.skeleton.bones) != (first.skeleton.joints, first.skeleton.bones):
            raise ModelError(
                f'{first.source} takes the layout {first.skeleton.name!r}, {model.source} '
                f'{model.skeleton.name!r}'
            )
    streams = [model.stream for model in models]
    if len(set(streams)) < len(streams):
        raise ModelError(f'the models look at the streams {", ".join(streams)}; each stream may come once')
    tokens = [weights] if isinstance(weights, str) else [str(weight) for weight in weights]
    numbers = np.array(parse_weights(tokens, len(models)))
    return numbers / numbers.sum()


def annotation_of(recording: Recorded) -> dict[str, Any]:
    """What a data set gives to a pipeline."""
    annotation = dict(
        frame_dir=recording.name,
        label=recording.label if isinstance(recording.label, int) else -1,
        keypoint=recording.keypoint,
        total_frames=recording.keypoint.shape[1],
        start_index=0,
        modality='Pose',
        normalized=recording.normalized,
    )
    if recording.keypoint_score is not None:
        annotation['keypoint_score'] = recording.keypoint_score
    if recording.img_shape is not None:
        annotation |= dict(img_shape=recording.img_shape, original_shape=recording.img_shape)
    return annotation


def run_steps(steps: Sequence[Any], annotation: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray | None]:
    """Run a pipeline, and follow which frames of the recording it hands on.

    Returns:
        What the pipeline gives, and (S, T') the frames; None where a step does not say.
    """
    results, samples = annotation, 1
    seen: np.ndarray | None = np.arange(annotation['total_frames'])
    for step in steps:
        results = step(results)
        if results is None:
            raise ValueError(f'{step_name(step)} drops it')
        seen = _follow(step, results, seen)
        samples = results.get('num_clips') or samples
    return results, None if seen is None else seen.reshape(samples, -1)


def _follow(step: Any, results: dict[str, Any], seen: np.ndarray | None) -> np.ndarray | None:
    """The frames that are left after a step."""
    name = step_name(step)
    if seen is None or name == 'PreNormalize3D':
        return None
    if name == 'NormalizeSkeleton3D':
        return seen[results.pop('kept_frames')] if 'kept_frames' in results else seen
    if name == 'ReplayPad':
        return seen[np.arange(step.length) % len(seen)]
    samples = name in ('PoseDecode', 'TemporalCropResize', 'UniformSampleClips')
    return seen[results['frame_inds']] if samples else seen


def _look(model: TrainedModel, position: int, batch: Sequence[Prepared]) -> list[Look]:
    """One model's answers for recordings whose inputs have one shape."""
    packed = [one.packed[position] for one in batch]
    inputs = torch.stack([one['inputs'] for one in packed]).numpy()
    operations = standard_operations() if inputs.size <= SMALL else nullcontext()
    with recorded(model.network) as masks, operations:
        samples = cast(BaseModel, model.network).test_step(pseudo_collate(packed))
    present = np.any(inputs, axis=(3, 4, 5))
    when, where = masks.when(present, inputs.shape[3]), masks.where(present)
    return [
        Look(
            scores=_scores(sample, list(getattr(model.network, 'heads', ()))),
            when=None if when is None else _over_frames(when[n], one.frames[position], one.recording),
            where=None if where is None else where[n].astype(np.float32),
        )
        for n, (one, sample) in enumerate(zip(batch, samples, strict=True))
    ]


def _scores(sample: ActionDataSample, heads: Sequence[str]) -> dict[str, np.ndarray]:
    """(K,) by head, the fused score first, then those of the network in its order."""
    scores = head_scores(sample)
    return {head: scores[head].detach().cpu().float().numpy() for head in (FUSED, *heads)}


def _over_frames(when: np.ndarray, frames: np.ndarray | None, recording: Recorded) -> np.ndarray | None:
    """(T,) the mean weight of each frame of the recording, NaN where it was not seen, from (S, T')."""
    if frames is None:
        return None
    length = recording.keypoint.shape[1]
    seen = np.bincount(frames.ravel(), minlength=length)
    total = np.bincount(frames.ravel(), when.ravel(), length)
    with np.errstate(invalid='ignore'):
        return (total / seen).astype(np.float32)


def _mix_all(values: Sequence[np.ndarray | None], shares: np.ndarray) -> np.ndarray | None:
    """The weighted mean over models; None where one of them has none."""
    known = [value for value in values if value is not None]
    return _mix(known, shares) if len(known) == len(values) else None


def _mix(values: Sequence[np.ndarray], shares: np.ndarray) -> np.ndarray:
    """The weighted mean over models; of entries that only some models have, over these."""
    stacked, weights = np.stack(values), shares.reshape(-1, *[1] * values[0].ndim)
    known = ~np.isnan(stacked)
    with np.errstate(invalid='ignore'):
        mixed = np.where(known, stacked * weights, 0).sum(0) / (known * weights).sum(0)
    return mixed.astype(values[0].dtype)


def _data_sample(answer: Answer) -> ActionDataSample:
    sample = ActionDataSample(metainfo=dict(frame_dir=answer.name))
    sample.set_pred_score(torch.from_numpy(answer.scores[FUSED])).set_pred_label(answer.label)
    for head, scores in answer.scores.items():
        if head != FUSED:
            sample.set_field(torch.from_numpy(scores), f'{head}_score')
    return sample
