"""Run models on recordings: pipeline, scores and attention, and the answer of all together.

N recordings, S samples of each, M persons, T frames of a recording and T' of a sample, V joints, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, RLock, get_ident
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmdualhead.apis.trained import TrainedModel
from mmdualhead.datasets.recording import LARGEST, Recording
from mmdualhead.evaluation.answer import Answer
from mmdualhead.evaluation.scores import FUSED, head_scores
from mmdualhead.models.attention import SpatialAttention, TemporalAttention
from mmdualhead.network_input import step_name
from mmdualhead.utils.threads import only_idle_cores

PASS = 1 << 17
"""The number of input values per pass through a network, which takes about a kilobyte of memory for each.

Such a pass, of 45 persons of 48 frames for example, is as fast for each person as larger ones are.
"""

_changing_hooks = Lock()
"""PyTorch numbers hooks without a lock, so two threads could get the same number."""

_pipeline = RLock()
"""Steps may seed NumPy's global generator, as MMAction2's sampling does, which threads share."""


class Prepared(NamedTuple):
    """A recording behind a model's pipeline, and then behind its network.

    Args:
        model: predicts it.
        recording: in the form that the model takes.
        packed: the output of the pipeline.
        frames: (S, T') the frames of the recording in each sample; None if a step does not record them.
        scores: (K,) of the network, by head.
        when, where: its attentions, as in ``Answer``.
    """

    model: TrainedModel
    recording: Recording
    packed: dict[str, Any]
    frames: np.ndarray | None
    scores: Mapping[str, np.ndarray] = {}
    when: np.ndarray | None = None
    where: np.ndarray | None = None


def run_pipeline(model: TrainedModel, recording: Recording) -> Prepared:
    """Run a model's pipeline on a copy of a recording, and track which of its frames are kept.

    Steps may change arrays in place, as MMAction2's ``PreNormalize2D`` does.

    Raises:
        ValueError: a step drops the recording, coordinates are or become too large or not finite, or their
            number is not the network's.
    """
    _check_size(recording.keypoint, 'it has coordinates')
    results: Any = _annotation(recording)
    samples = 1
    seen: np.ndarray | None = np.arange(recording.keypoint.shape[1])
    with _pipeline:
        for step, frames in zip(model.steps, model.frames, strict=True):
            results = step(results)
            if results is None:
                raise ValueError(f'{step_name(step)} drops it')
            seen = _follow(frames, step, results, seen)
            samples = results.get('num_clips') or samples
    inputs = results['inputs']
    _check_size(inputs, 'the pipeline outputs coordinates')
    _check_channels(model, inputs.shape[-1])
    return Prepared(model, recording, results, None if seen is None else seen.reshape(samples, -1))


def _annotation(recording: Recording) -> dict[str, Any]:
    """The input of a pipeline, as from a data set, without shared memory."""
    known = recording.annotation()
    if 'img_shape' in known:
        known['original_shape'] = known['img_shape']
    return copy.deepcopy(
        {
            **known,
            'label': recording.label if isinstance(recording.label, int) else -1,
            'total_frames': recording.keypoint.shape[1],
            'start_index': 0,
            'modality': 'Pose',
            'normalized': recording.normalized,
        }
    )


def _check_channels(model: TrainedModel, found: int) -> None:
    channels, streams = model.input.channels, model.stream.count('+') + 1
    if channels is not None and found != channels * streams:
        score = ', a score included' if model.skeleton.flat else ''
        raise ValueError(
            f'keypoint: the pipeline outputs {found} values per joint, the network expects '
            f'{channels * streams}{score}'
        )


def _check_size(values: np.ndarray | Tensor, what: str) -> None:
    """Refuse numbers that are not finite, or so large that they overflow or lose precision."""
    size = 0.0 if 0 in values.shape else float(abs(values).max())
    if not size <= LARGEST:  # NaN is not
        raise ValueError(f'keypoint: {what} up to {size:g}, expected at most {LARGEST:g}')


def _follow(
    frames: str | None, step: Any, results: dict[str, Any], seen: np.ndarray | None
) -> np.ndarray | None:
    """The frames that remain after a step, as it declares; see ``share_of``."""
    if seen is None or frames is None:
        return None
    if frames == 'length':
        return seen[np.arange(step.length) % len(seen)]
    kept = results.get(frames)
    return seen if kept is None else seen[kept]


def predict(batch: Sequence[Prepared]) -> list[Prepared]:
    """Recordings of any lengths that have passed their pipelines, with the outputs of their models."""
    groups: dict[tuple[int, torch.Size], list[int]] = {}  # of recordings that can be stacked
    for i, one in enumerate(batch):
        groups.setdefault((id(one.model), one.packed['inputs'].shape), []).append(i)
    found: dict[int, Prepared] = {}
    for (_, shape), group in groups.items():
        most = max(1, PASS // max(1, shape.numel()))
        for part in (group[start : start + most] for start in range(0, len(group), most)):
            found |= zip(part, _predict([batch[i] for i in part]), strict=True)
    return [found[i] for i in range(len(batch))]


@torch.no_grad()
@only_idle_cores()
def _predict(batch: Sequence[Prepared]) -> list[Prepared]:
    """Those of one model for recordings of one shape, in one pass."""
    model = batch[0].model
    network = model.inference_form()
    data = network.data_preprocessor(pseudo_collate([one.packed for one in batch]), False)
    inputs = data['inputs']
    with recorded(network) as masks:
        samples = network(inputs, data['data_samples'], mode='predict')
    present = inputs.ne(0).flatten(3).any(3).cpu().numpy()
    when, where = masks.when(present, inputs.shape[3]), masks.where(present)
    heads = (FUSED, *getattr(model.network, 'heads', ()))
    return [
        one._replace(
            scores={head: head_scores(sample)[head].detach().cpu().float().numpy() for head in heads},
            when=None if when is None else _over_frames(when[n], one),
            where=None if where is None else where[n].astype(np.float32),
        )
        for n, (one, sample) in enumerate(zip(batch, samples, strict=True))
    ]


def _over_frames(when: np.ndarray, one: Prepared) -> np.ndarray | None:
    """(T,) the mean weight of each frame of a recording, NaN where it was not seen, from (S, T')."""
    if one.frames is None:
        return None
    frames, length = one.frames.ravel(), one.recording.keypoint.shape[1]
    seen, total = np.bincount(frames, minlength=length), np.bincount(frames, when.ravel(), length)
    with np.errstate(invalid='ignore'):
        return (total / seen).astype(np.float32)


def answer_of(predicted: Sequence[Prepared], shares: np.ndarray) -> Answer:
    """The answer of all models that predicted a recording, which have these shares in its scores."""
    model, recording = predicted[0].model, predicted[0].recording
    shared = [head for head in predicted[0].scores if all(head in one.scores for one in predicted)]
    label = recording.label
    if isinstance(label, int) and set(recording.classes) & set(model.classes):
        label = dict(enumerate(recording.classes)).get(label)
    if isinstance(label, str):
        label = model.classes.index(label) if label in model.classes else None
    keypoint = recording.keypoint
    if recording.keypoint_score is not None:
        keypoint = np.concatenate([keypoint, recording.keypoint_score[..., None]], -1)
    return Answer(
        name=recording.name,
        source=recording.path,
        scores={head: _weighted([one.scores[head] for one in predicted], shares) for head in shared},
        classes=model.classes,
        keypoint=np.array(keypoint, np.float32),
        skeleton=model.skeleton,
        when=_weighted([one.when for one in predicted], shares),
        where=_weighted([one.where for one in predicted], shares),
        frames=predicted[0].frames,
        streams={one.model.stream: one.scores for one in predicted},
        true_label=label if label is None or 0 <= label < len(model.classes) else None,
        notes=recording.notes,
        persons=recording.persons,
        first_frame=recording.first_frame,
    )


def _weighted(values: Sequence[Any], shares: np.ndarray) -> Any:
    """The weighted mean over models, or over those without NaN; None if one of them has none."""
    if any(value is None for value in values):
        return None
    known = np.ma.masked_invalid(np.stack(values))
    return np.ma.filled(np.ma.average(known, axis=0, weights=shares), np.nan).astype(np.float32)


@dataclass
class Masks:
    """The masks of all attentions in their last pass: each (P, 1, T' or V), P of all persons or of those
    present, who pass after the empty person.
    """

    temporal: dict[nn.Module, Tensor] = field(default_factory=dict)
    spatial: dict[nn.Module, Tensor] = field(default_factory=dict)

    def when(self, present: np.ndarray, frames: int) -> np.ndarray | None:
        """(N, S, T'): the mean over blocks and over the persons present (N, S, M); None without attention."""
        masks = [F.interpolate(mask, size=frames, mode='linear') for mask in self.temporal.values()]
        return _mean(masks, present)

    def where(self, present: np.ndarray) -> np.ndarray | None:
        """(N, V): the mean over blocks, samples and the persons present."""
        mean = _mean([*self.spatial.values()], present)
        return None if mean is None else mean.mean(1)


def _mean(masks: list[Tensor], present: np.ndarray) -> np.ndarray | None:
    if not masks:
        return None
    mean = torch.stack([mask.squeeze(1).float() for mask in masks]).mean(0).cpu().numpy()
    by_person = np.zeros((*present.shape, mean.shape[-1]), mean.dtype)
    by_person[present if len(mean) < present.size else np.ones_like(present)] = mean
    weights = present / np.maximum(present.sum(-1, keepdims=True), 1)
    return np.einsum('nsm,nsmx->nsx', weights, by_person)


@contextmanager
def recorded(network: nn.Module) -> Iterator[Masks]:
    """Record the masks of a network's temporal and spatial attentions while it runs."""
    masks, thread = Masks(), get_ident()

    def record(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        if get_ident() != thread:  # another pass through the same network
            return
        taken = masks.temporal if isinstance(module, TemporalAttention) else masks.spatial
        taken[module] = module.mask(inputs[1]).detach()

    attentions = (TemporalAttention, SpatialAttention)
    with _changing_hooks:
        hooks = [
            module.register_forward_pre_hook(record)
            for module in network.modules()
            if isinstance(module, attentions)
        ]
    try:
        yield masks
    finally:
        with _changing_hooks:
            for hook in hooks:
                hook.remove()
