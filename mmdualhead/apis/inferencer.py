"""Prediction in the form of OpenMMLab's inferencers.

N recordings, S samples of each, M persons, T frames, V joints, C coordinates, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, count, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from rich.console import Console
from rich.progress import track

from mmdualhead.apis.fit import fit
from mmdualhead.apis.forward import PASS, Prepared, answer_of, predict, run_pipeline
from mmdualhead.apis.persons import check_pairs, each_person
from mmdualhead.apis.readers import read_annotation
from mmdualhead.apis.recordings import RecordingError, find_recordings
from mmdualhead.apis.trained import PACKAGED, PACKAGED_2D, ModelError, TrainedModel, load_trained
from mmdualhead.datasets.recording import Recording
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.fusion import parse_weights
from mmdualhead.evaluation.outputs import json_file
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.utils.files import check_writable
from mmdualhead.utils.threads import ahead
from mmdualhead.visualization.pages import check_pages, write_pages

ON_ERROR = ('raise', 'skip')

FITS = ('takes_pixels', 'takes_any_picture', 'normalizes_pixels')
"""What a recording is fitted to, once for all models."""


class SkeletonInferencer(BaseInferencer):
    """Recognizes actions in recordings::

        from mmdualhead.apis import SkeletonInferencer

        (answer,) = SkeletonInferencer()('a1_s2_t1_skeleton.mat')['predictions']
        print(answer.top(5))

    The scores equal those of a test with the same config, for any batch size.

    Args:
        model: anything that :func:`~mmdualhead.apis.trained.load_trained` accepts: a checkpoint, a work dir,
            a config's name or path (with ``weights``), or None for the packaged models: one for recordings
            with depth, one for joints in images (:meth:`for_joints`). A list of checkpoints or work dirs is
            fused, one per stream; each forms its own stream from the joints.
        weights: the checkpoint of a config, or a list of them.
        device: where the networks run; the first available one by default.
        stream_weights: the weights of the streams: ``'equal'``, a ratio such as ``'2:2:1:1'``, or numbers.
        show_progress: show a progress bar.
        half: run the networks in half precision (bfloat16), which rounds the scores.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ModelError: something given as a model is not one, the models do not match, or half precision is slow
            on the processor.
        UserError: a checkpoint is damaged, or would execute code.
    """

    preprocess_kwargs = {  # noqa: RUF012
        *('layout', 'unit', 'img_shape', 'split', 'most_active', 'on_error', 'per_person', 'pair_distance')
    }
    visualize_kwargs = {'vis_out_dir'}  # noqa: RUF012
    postprocess_kwargs = {'pred_out_file', 'top'}  # noqa: RUF012

    def __init__(
        self,
        model: Any = None,
        weights: Any = None,
        device: str | None = None,
        stream_weights: str | Sequence[float] = 'equal',
        show_progress: bool = False,
        half: bool = False,
    ) -> None:
        # Not MMEngine's method, which executes the config in a checkpoint.
        self.is_packaged, self.device, self.half = model is None and weights is None, device, half
        models, files = (list(one) if isinstance(one, list | tuple) else [one] for one in (model, weights))
        size = max(len(models), len(files))
        models, files = (one * size if len(one) == 1 else one for one in (models, files))
        if len(models) != len(files):
            raise ModelError(f'{len(models)} models and {len(files)} weights: expected equally many')
        self.models = [load_trained(*pair, device) for pair in zip(models, files, strict=True)]
        self.models = [model.in_half() for model in self.models] if half else self.models
        self.shares = _shares(self.models, stream_weights)
        first = self.models[0]
        self.model, self.cfg = first.network, first.config
        self.pipeline = self._init_pipeline(self.cfg)
        self.scope, self.collate_fn, self.visualizer = 'mmaction', pseudo_collate, None
        self.show_progress = show_progress

    @staticmethod
    def example() -> Path:
        """The recording that the package carries: a generated person stands up."""
        return PACKAGED.with_name('stand_up.npy')

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.models[0].classes

    def for_joints(self, in_space: bool) -> SkeletonInferencer:
        """The inferencer for joints in space, with depth, or in images: this one if a model was given.

        Of the packaged models, the one for joints in images is loaded when it is first needed.
        """
        return self if in_space or not self.is_packaged else self._in_images

    @cached_property
    def _in_images(self) -> SkeletonInferencer:
        return SkeletonInferencer(PACKAGED_2D, device=self.device, half=self.half)

    def describe(self) -> list[str]:
        """A line of text for each model that predicts; of several streams, with its share of the score."""
        if len(self.models) > 1:
            shared = zip(self.models, self.shares, strict=True)
            return [f'{model.describe()}; {share:.0%} of the score' for model, share in shared]
        if not self.is_packaged:
            return [self.models[0].describe()]
        uses = {'in space': self, 'in images': self._in_images}
        return [f'for joints {use}: {one.models[0].describe()}' for use, one in uses.items()]

    def _init_pipeline(self, cfg: Any) -> Callable:  # noqa: ARG002
        """The test pipeline of the first model, from an annotation to the input of its network."""
        return lambda clip: run_pipeline(self.models[0], read_annotation(clip)).packed

    def __call__(
        self, inputs: Any, return_datasamples: bool = False, batch_size: int | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Predict for recordings.

        Args:
            inputs: anything that :func:`~mmdualhead.apis.recordings.find_recordings` accepts: arrays, files,
                directories, annotation files, poses, or a list of these, of any lengths.
            return_datasamples: return MMAction2's data samples instead of predictions.
            batch_size: the most recordings per pass through the network; by default as many as are fast.
            **kwargs: ``layout``, the layout of arrays that are not in the model's; ``unit`` of arrays and
                your own files, ``'m'``, ``'cm'`` or ``'mm'``; ``img_shape`` (height, width) for joints in
                pixels; ``split`` of annotation files; ``most_active=True`` to keep the most active persons if
                there are too many; ``per_person=True`` for a prediction for each person, and with
                ``pair_distance`` for two that are closer than this, in the unit of the recording
                (:func:`~mmdualhead.apis.persons.each_person`); ``on_error='skip'`` to skip recordings that
                cannot be predicted;
                ``vis_out_dir``, a directory for one page per recording; ``pred_out_file``, a JSON file for
                the predictions, with ``top`` classes each.

        Returns:
            ``predictions``: an :class:`~mmdualhead.apis.Answer` for each recording that was not skipped;
            ``visualization``: the index page, or None; ``left_out``: the error of each skipped recording, by
            name.

        Raises:
            RecordingError: a recording cannot be predicted; the message names the file, the person and the
                field.
        """
        prepare, forward, visualize, postprocess = self._dispatch_kwargs(**kwargs)
        if kwargs.get('vis_out_dir') is not None:
            check_pages(kwargs['vis_out_dir'])
        if kwargs.get('pred_out_file') is not None:
            check_writable(kwargs['pred_out_file'])
        left_out: dict[str, str] = {}
        answers = list(self.iterate(inputs, batch_size=batch_size, left_out=left_out, **prepare, **forward))
        visualization = self.visualize(inputs, answers, **visualize)
        return self.postprocess(answers, visualization, return_datasamples, left_out=left_out, **postprocess)

    def iterate(
        self, inputs: Any, batch_size: int | None = None, **kwargs: Any
    ) -> Generator[Answer, None, None]:
        """Yield predictions one by one; arguments as for a call.

        Reasons of skipped recordings are added to the dict ``left_out``.

        Recordings are read and prepared in a thread of their own while the network runs.

        Raises:
            ValueError: an argument does not fit the others or the model.
            RecordingError: a recording cannot be predicted.
        """
        if batch_size is not None and batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}, expected 1 or more')
        per_person, pair_distance = kwargs.pop('per_person', False), kwargs.pop('pair_distance', None)
        if pair_distance is not None and not per_person:
            raise ValueError('pair_distance: pairs are found with per_person=True')
        check_pairs(pair_distance, self.models[0].num_person)
        found = find_recordings(inputs, kwargs.get('img_shape'), kwargs.pop('split', None))
        recordings: Iterable[Recording] = found
        if per_person:
            layout = kwargs.get('layout') or self.models[0].skeleton
            recordings = each_person(found, layout, pair_distance)
        on_error, left_out = kwargs.get('on_error', 'raise'), kwargs.setdefault('left_out', {})
        batches = ahead(self.preprocess(recordings, batch_size, **kwargs))
        answers: Iterable[Answer] = (
            answer for batch in batches for answer in self.forward(batch, on_error, left_out)
        )
        if self.show_progress:
            count = None if per_person else len(found)
            answers = track(answers, 'Recordings', count, console=Console(stderr=True))
        yield from answers

    def preprocess(
        self,
        inputs: Iterable[Recording],
        batch_size: int | None = None,
        on_error: str = 'raise',
        left_out: dict[str, str] | None = None,
        **options: Any,
    ) -> Iterator[list[list[Prepared]]]:
        """Batches of recordings, read and prepared one by one; options as for :meth:`__call__`.

        A batch is full when its inputs fill a pass through the network, or at ``batch_size``.

        The reasons of skipped recordings are added to ``left_out``, by name.

        Raises:
            ValueError: ``on_error`` is neither ``'raise'`` nor ``'skip'``.
            RecordingError: a recording cannot be read or predicted.
        """
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error is {on_error!r}, expected one of {ON_ERROR}')
        left_out = {} if left_out is None else left_out
        batch: list[list[Prepared]] = []
        for recording in inputs:
            try:
                batch.append(self.prepare(recording, **options))
            except RecordingError as error:
                _leave_out(recording.where, error, on_error, left_out)
            if len(batch) == batch_size or sum(map(_size, batch)) >= PASS:
                yield batch
                batch = []
        if batch:
            yield batch

    def prepare(self, recording: Recording, **options: Any) -> list[Prepared]:
        """Read a recording, fit it to the models, and run the pipeline of each.

        Args:
            recording: one of :func:`~mmdualhead.apis.recordings.find_recordings`.
            **options: those of :func:`~mmdualhead.apis.fit.fit`.

        Raises:
            RecordingError: it cannot be read or predicted.
        """
        try:
            recording = recording.read()
            in_space = recording.converts_to(self.models[0].skeleton, options.get('layout'))
            chosen = self.for_joints(in_space)
            fitted = fit(recording, chosen.models[0].input, **options)
            return [run_pipeline(model, fitted) for model in chosen.models]
        except (ValueError, OSError, KeyError, TypeError, IndexError, AssertionError) as error:
            reason = str(error) or type(error).__name__
            reason = f'the pipeline needs the field {reason}' if isinstance(error, KeyError) else reason
            raise recording.fault(reason) from error
        except MemoryError as error:
            raise recording.fault('out of memory') from error

    def forward(
        self,
        inputs: Sequence[Sequence[Prepared]],
        on_error: str = 'raise',
        left_out: dict[str, str] | None = None,
        **_: Any,
    ) -> list[Answer]:
        """The predictions for a batch; each recording as all of its models take it."""
        left_out = {} if left_out is None else left_out
        predicted = iter(predict(list(chain.from_iterable(inputs))))
        answers = []
        for prepared in inputs:
            try:
                answers.append(answer_of(list(islice(predicted, len(prepared))), self.shares))
            except ValueError as error:
                recording = prepared[0].recording
                _leave_out(recording.where, recording.fault(str(error)), on_error, left_out)
        return answers

    def visualize(
        self,
        inputs: Any,  # noqa: ARG002
        preds: Sequence[Answer],
        vis_out_dir: str | Path | None = None,
    ) -> Path | None:
        """Write one page per recording, and return the index page; None without a directory."""
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
        """The return value of :meth:`__call__`."""
        left_out = dict(left_out or {})
        if pred_out_file is not None:
            with json_file(Path(pred_out_file), top, left_out) as write:
                for answer in preds:
                    write(answer)
        predictions = [_data_sample(answer) for answer in preds] if return_datasamples else list(preds)
        return dict(predictions=predictions, visualization=visualization, left_out=left_out)


def _size(prepared: Sequence[Prepared]) -> int:
    """The values of a recording that a network takes."""
    return max(one.packed['inputs'].numel() for one in prepared)


def _leave_out(name: str, error: RecordingError, on_error: str, left_out: dict[str, str]) -> None:
    if on_error == 'raise':
        raise error
    names = chain([name], (f'{name} ({i})' for i in count(2)))
    left_out[next(free for free in names if free not in left_out)] = str(error)


def _shares(models: Sequence[TrainedModel], weights: str | Sequence[float]) -> np.ndarray:
    """The share of each model in the fused scores, after checking that the models match."""
    first = models[0]
    for model in models[1:]:
        for what in ('classes', 'num_person', 'skeleton.joints', 'skeleton.bones'):
            if attrgetter(what)(model) != attrgetter(what)(first):
                raise ModelError(f'{first.source} and {model.source} differ in their {what}')
        if any(getattr(model.input, fits) != getattr(first.input, fits) for fits in FITS):
            forms = ' and '.join(one.input.normalization or 'none' for one in (first, model))
            raise ModelError(
                f'{first.source} and {model.source} differ in their normalization ({forms}); no recording '
                'fits both'
            )
    streams = [model.stream for model in models]
    if len(set(streams)) < len(streams):
        raise ModelError(
            f'the models use the streams {", ".join(streams)}; each stream may be given only once'
        )
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
