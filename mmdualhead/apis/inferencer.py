"""From recordings to answers, in the form of OpenMMLab's inferencers.

N recordings, S samples of each, M persons, T frames, V joints, C coordinates, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from rich.console import Console
from rich.progress import track

from mmdualhead.apis.fit import fit
from mmdualhead.apis.forward import Prediction, Prepared, predict, run_pipeline
from mmdualhead.apis.readers import Recording, read_annotation
from mmdualhead.apis.recordings import RecordingError, find_recordings
from mmdualhead.apis.trained import PACKAGED, ModelError, TrainedModel, load_trained
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.fusion import parse_weights
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.utils.files import write_text
from mmdualhead.visualization.pages import write_pages

ON_ERROR = ('raise', 'skip')


class Ready(NamedTuple):
    """A recording in the form of the models, and what the pipeline of each made of it."""

    recording: Recording
    prepared: list[Prepared]


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
        UserError: a checkpoint is damaged, or asks for code to be run.
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
        models, files = (list(one) if isinstance(one, list | tuple) else [one] for one in (model, weights))
        size = max(len(models), len(files))
        models, files = (one * size if len(one) == 1 else one for one in (models, files))
        if len(models) != len(files):
            raise ModelError(f'{len(models)} models and {len(files)} weights: expected as many of both')
        self.models = [load_trained(*pair, device) for pair in zip(models, files, strict=True)]
        self.shares = _shares(self.models, stream_weights)
        first = self.models[0]
        self.model, self.cfg = first.network, first.config
        self.pipeline = self._init_pipeline(self.cfg)
        self.scope, self.collate_fn, self.visualizer = 'mmaction', pseudo_collate, None
        self.show_progress = show_progress
        self.left_out: dict[str, str] = {}

    @staticmethod
    def example() -> Path:
        """The recording that the package carries: a generated person stands up."""
        return PACKAGED.with_name('stand_up.npy')

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.models[0].classes

    def _init_pipeline(self, cfg: Any) -> Callable:  # noqa: ARG002
        """The test pipeline of the first model, from an annotation to what its network takes."""
        return lambda clip: run_pipeline(self.models[0], read_annotation(clip, name='')).packed

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
            ``predictions``: an :class:`~mmdualhead.apis.Answer` for each recording that was not left out;
            ``visualization``: the index page, or None; ``left_out``: what is wrong with each recording that
            was, by its name.

        Raises:
            RecordingError: a recording can't be answered; names the file, the person and the field.
        """
        prepare, forward, visualize, postprocess = self._dispatch_kwargs(**kwargs)
        left_out: dict[str, str] = {}
        answers = list(self.iterate(inputs, batch_size=batch_size, left_out=left_out, **prepare, **forward))
        visualization = self.visualize(inputs, answers, **visualize)
        return self.postprocess(answers, visualization, return_datasamples, left_out=left_out, **postprocess)

    def iterate(self, inputs: Any, batch_size: int = 1, **kwargs: Any) -> Iterator[Answer]:
        """The answers one after the other; arguments as for a call. What was left out is in ``left_out``."""
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}, expected 1 or more')
        recordings = find_recordings(inputs, kwargs.get('img_shape'), kwargs.pop('split', None))
        left_out = kwargs.setdefault('left_out', {})
        batches: Iterable[list[Ready]] = self.preprocess(recordings, batch_size, **kwargs)
        if self.show_progress:
            count = -(-len(recordings) // batch_size)
            batches = track(batches, 'Recordings', count, console=Console(stderr=True))
        for batch in batches:
            yield from self.forward(batch, kwargs.get('on_error', 'raise'), left_out)

    def preprocess(
        self,
        inputs: Sequence[Recording],
        batch_size: int = 1,
        on_error: str = 'raise',
        left_out: dict[str, str] | None = None,
        **options: Any,
    ) -> Iterator[list[Ready]]:
        """Batches of recordings, read and prepared one by one; options as for :meth:`__call__`.

        What is left out gets into ``left_out``, by default a new dict, which the inferencer keeps as well.
        """
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error is {on_error!r}, expected one of {ON_ERROR}')
        # By its own name, since another thread may call in between.
        self.left_out = left_out = {} if left_out is None else left_out
        batch: list[Ready] = []
        for recording in inputs:
            try:
                batch.append(self.prepare(recording, **options))
            except RecordingError as error:
                _leave_out(recording.where, error, on_error, left_out)
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def prepare(self, recording: Recording, **options: Any) -> Ready:
        """Read a recording, fit it to the models, and run their pipelines.

        Args:
            recording: one of :func:`~mmdualhead.apis.recordings.find_recordings`.
            **options: those of :func:`~mmdualhead.apis.fit.fit`.

        Raises:
            RecordingError: it can't be read or answered.
        """
        try:
            fitted = fit(recording.read(), self.models[0].input, **options)
            return Ready(fitted, [run_pipeline(model, fitted) for model in self.models])
        except (ValueError, OSError, KeyError, TypeError, IndexError, AssertionError) as error:
            reason = str(error) or type(error).__name__
            reason = f'the pipeline needs the field {reason}' if isinstance(error, KeyError) else reason
            raise RecordingError(_named(recording.where, reason)) from error
        except MemoryError as error:
            raise RecordingError(f'{recording.where}: it does not fit into memory') from error

    def forward(
        self,
        inputs: Sequence[Ready],
        on_error: str = 'raise',
        left_out: dict[str, str] | None = None,
        **_: Any,
    ) -> list[Answer]:
        """The answers for a batch."""
        left_out = self.left_out if left_out is None else left_out
        by_model = [
            predict(model, [prepared[i] for _, prepared in inputs]) for i, model in enumerate(self.models)
        ]
        answers = []
        for (recording, prepared), predictions in zip(inputs, zip(*by_model, strict=True), strict=True):
            try:
                answers.append(self._answer(recording, prepared[0].frames, predictions))
            except ValueError as error:
                where = recording.where
                _leave_out(where, RecordingError(_named(where, str(error))), on_error, left_out)
        return answers

    def _answer(
        self, recording: Recording, frames: np.ndarray | None, predictions: Sequence[Prediction]
    ) -> Answer:
        shared = [head for head in predictions[0].scores if all(head in one.scores for one in predictions)]
        label = recording.label
        if isinstance(label, str):
            label = self.classes.index(label) if label in self.classes else None
        keypoint = recording.keypoint
        if recording.keypoint_score is not None:
            keypoint = np.concatenate([keypoint, recording.keypoint_score[..., None]], -1)
        streams = {model.stream: one.scores for model, one in zip(self.models, predictions, strict=True)}
        return Answer(
            name=recording.name,
            source=recording.source,
            scores={head: self._mean([one.scores[head] for one in predictions]) for head in shared},
            classes=self.classes,
            keypoint=np.array(keypoint, np.float32),
            skeleton=self.models[0].skeleton,
            when=self._mean([one.when for one in predictions]),
            where=self._mean([one.where for one in predictions]),
            frames=frames,
            streams=streams,
            true_label=label if label is None or 0 <= label < len(self.classes) else None,
            notes=recording.notes,
        )

    def _mean(self, values: Sequence[Any]) -> Any:
        """The weighted mean over models, or over those that don't have NaN; None where one has nothing."""
        if any(value is None for value in values):
            return None
        known = np.ma.masked_invalid(np.stack(values))
        return np.ma.filled(np.ma.average(known, axis=0, weights=self.shares), np.nan).astype(np.float32)

    def visualize(
        self,
        inputs: Any,  # noqa: ARG002
        preds: Sequence[Answer],
        vis_out_dir: str | Path | None = None,
    ) -> Path | None:
        """Write a page per recording, and return the index page; None without a directory."""
        return write_pages(preds, vis_out_dir) if vis_out_dir is not None and preds else None

    def postprocess(
        self,
        preds: Sequence[Answer],
        visualization: Path | None,
        return_datasamples: bool = False,
        pred_out_file: str | Path | None = None,
        top: int = 5,
        left_out: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What a call returns; see :meth:`__call__`."""
        left_out = dict(self.left_out if left_out is None else left_out)
        if pred_out_file is not None:
            content = dict(predictions=[answer.to_dict(top) for answer in preds], left_out=left_out)
            write_text(pred_out_file, json.dumps(content, indent=1) + '\n')
        predictions = [_data_sample(answer) for answer in preds] if return_datasamples else list(preds)
        return dict(predictions=predictions, visualization=visualization, left_out=left_out)


def _leave_out(name: str, error: RecordingError, on_error: str, left_out: dict[str, str]) -> None:
    if on_error == 'raise':
        raise error
    left_out[name] = str(error)


def _named(name: str, reason: str) -> str:
    return reason if name in reason else f'{name}: {reason}'


def _shares(models: Sequence[TrainedModel], weights: str | Sequence[float]) -> np.ndarray:
    """The share of each model in the fused scores, after checking that the models fit together."""
    first = models[0]
    for model in models[1:]:
        for what in ('classes', 'num_person', 'skeleton.joints', 'skeleton.bones'):
            if attrgetter(what)(model) != attrgetter(what)(first):
                raise ModelError(f'{first.source} and {model.source} differ in their {what}')
        if model.input.normalization.startswith('2d') != first.input.normalization.startswith('2d'):
            raise ModelError(f'of {first.source} and {model.source} one takes pixels, the other does not')
    streams = [model.stream for model in models]
    if len(set(streams)) < len(streams):
        raise ModelError(f'the models look at the streams {", ".join(streams)}; each stream may come once')
    tokens = [weights] if isinstance(weights, str) else [str(weight) for weight in weights]
    numbers = np.array(parse_weights(tokens, len(models)))
    return numbers / numbers.sum()


def _data_sample(answer: Answer) -> ActionDataSample:
    sample = ActionDataSample(metainfo=dict(frame_dir=answer.name))
    sample.set_pred_score(torch.from_numpy(answer.scores[FUSED])).set_pred_label(answer.label)
    for head, scores in answer.scores.items():
        if head != FUSED:
            sample.set_field(torch.from_numpy(scores), f'{head}_score')
    return sample
