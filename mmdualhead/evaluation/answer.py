"""Predictions for recordings, from an inferencer or from dumped scores, and how they are shown.

M persons, T frames, V joints, C coordinates, K classes, S samples of T' frames each that the network saw.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.evaluation.fusion import to_probabilities
from mmdualhead.evaluation.readers import read_clips, read_scores
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.skeletons import Skeleton, get_skeleton
from mmdualhead.utils.text import name_of, printable


class Guess(NamedTuple):
    """One of the best classes: its index, its name, and its fused probability."""

    label: int
    name: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A model's prediction for one recording.

    Args:
        name: name of the recording: that in the annotation file, or the file name.
        source: the file it was read from; None for an array.
        scores: (K,) probabilities by head, ``'fused'`` first; the heads are those of the model. For several
            streams, the weighted mean.
        classes: K names; a class without one is named ``class 7``.
        keypoint: (M, T, V, C) joints as read, in the layout of the model; float32. With
            ``keypoint_score``, the confidence is the last channel.
        skeleton: the layout of the model.
        when: (T,) the attention to each frame, 0 to 1: the mean of the temporal attention over
            blocks, samples and persons. NaN for frames that the network did not see. None without such an
            attention.
        where: (V,) likewise the spatial attention to the joints.
        frames: (S, T') the frames of the recording that the network saw; for several streams, those of the
            first. None if a step of the pipeline does not record them.
        streams: the scores of each stream by its name (j, b, jm, bm), as ``scores``.
        true_label: the true class, if the recording has it.
        notes: caveats, such as a check that could not be made.
        persons: the ids of the one or two persons that it is about; None if it is about all of them.
        first_frame: the frame of the recording at which these persons' joints begin; ``keypoint``, ``when``
            and ``frames`` count from it.

    Raises:
        ValueError: a score is not finite.
    """

    name: str
    source: Path | None = None
    scores: Mapping[str, np.ndarray]
    classes: tuple[str, ...]
    keypoint: np.ndarray
    skeleton: Skeleton
    when: np.ndarray | None = None
    where: np.ndarray | None = None
    frames: np.ndarray | None = None
    streams: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    true_label: int | None = None
    notes: tuple[str, ...] = ()
    persons: tuple[Hashable, ...] | None = None
    first_frame: int = 0

    def __post_init__(self) -> None:
        for stream, heads in {'': self.scores, **self.streams}.items():
            for head, values in heads.items():
                if not np.isfinite(values).all():
                    of = f' of stream {stream!r}' if stream else ''
                    raise ValueError(f'{self.name}: the {head} scores{of} are not finite')

    @property
    def person(self) -> str:
        """The persons as text: ``7``, or of a pair ``7+9``; empty if it is about all of them."""
        return name_of(self.persons or ())

    @property
    def title(self) -> str:
        """The name of the recording, and the persons."""
        return f'{self.name}, person {self.person}' if self.persons else self.name

    @property
    def label(self) -> int:
        """The class with the highest fused score."""
        return int(self.scores[FUSED].argmax())

    @property
    def class_name(self) -> str:
        """The name of that class."""
        return self.classes[self.label]

    @property
    def confidence(self) -> float:
        """The fused score of that class."""
        return float(self.scores[FUSED].max())

    def top(self, k: int = 5, head: str = FUSED) -> list[Guess]:
        """The k classes with the highest scores of a head, best first.

        Raises:
            ValueError: k is not positive.
        """
        if k < 1:
            raise ValueError(f'top is {k}, expected 1 or more')
        scores = self.scores[head]
        best = np.argsort(-scores, kind='stable')[:k]
        return [Guess(int(i), self.classes[i], float(scores[i])) for i in best]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain values for JSON: all but the joints; frames that were not seen are None.

        Args:
            k: number of classes in ``top``.
        """
        return dict(
            name=self.name,
            source=self.source and str(self.source),
            persons=self.persons and list(map(plain_id, self.persons)),
            first_frame=self.first_frame,
            label=self.label,
            class_name=self.class_name,
            true_label=self.true_label,
            top=[guess._asdict() for guess in self.top(k)],
            scores=plain_numbers(self.scores),
            streams=plain_numbers(self.streams),
            when=plain_numbers(self.when),
            where=plain_numbers(self.where),
            joints=list(self.skeleton.joints),
            frames=plain_numbers(self.frames),
            notes=list(self.notes),
        )


def plain_id(id: Hashable) -> int | str:
    """The id of a person as a value for JSON."""
    return int(id) if isinstance(id, numbers.Integral) else str(id)


def plain_numbers(value: Any) -> Any:
    """Arrays, also nested, as lists; NaN becomes None."""
    if isinstance(value, Mapping):
        return {key: plain_numbers(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        plain = value.astype(object)
        plain[np.isnan(value)] = None
        return plain.tolist()
    return value


def name_classes(names: Sequence[str | None] | None, number: int) -> tuple[str, ...]:
    """K names; unknown ones become ``class 7``."""
    known = dict(enumerate(names or ()))
    return tuple(known.get(i) or f'class {i}' for i in range(number))


def report(answers: Sequence[Answer], left_out: Mapping[str, str]) -> None:
    """Print notes and skipped recordings to standard error."""
    for answer in answers:
        report_notes(answer)
    report_skipped(left_out, len(answers))


def report_notes(answer: Answer) -> None:
    """Print the notes of an answer to standard error."""
    for note in answer.notes:
        sys.stderr.write(f'note: {answer.source or answer.name}: {note}\n')


def report_skipped(left_out: Mapping[str, str], answered: int) -> None:
    """Print skipped recordings to standard error."""
    for reason in left_out.values():
        sys.stderr.write(f'skipped: {printable(reason)}\n')
    if left_out:
        sys.stderr.write(f'{len(left_out)} of {answered + len(left_out)} recordings were skipped\n')


def scored_answers(
    scores_path: str | Path, ann_file: str | Path, split: str | None = None, every: int = 1
) -> list[Answer]:
    """The predictions of a test, without attention.

    Args:
        scores_path: a dump, or a work dir; see :func:`~mmdualhead.evaluation.readers.read_scores`.
        ann_file: the annotations of the test, whose meta names the layout.
        split: the split that was tested.
        every: 1 for all clips, 2 for every second, and so on.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: scores and annotations do not match, or the layout is unknown.
    """
    named = read_clips(ann_file, split)
    scores, _ = to_probabilities(read_scores(scores_path, named))
    file = open_annotations(ann_file)
    layout = file.meta.get('layout')
    if layout is None:
        raise ValueError(f'{ann_file}: its meta has no layout')
    skeleton = get_skeleton(layout)
    classes = name_classes(file.meta.get('classes'), scores.num_classes)
    rows = {name: row for row, name in enumerate(scores.names)}
    clips = file.select(split or next(iter(file.splits)))
    return [
        Answer(
            name=name,
            source=Path(ann_file),
            scores={head: values[rows[name]] for head, values in scores.heads.items()},
            classes=classes,
            keypoint=np.asarray(clips[i]['keypoint'], np.float32),
            skeleton=skeleton,
            true_label=int(named.labels[i]),
        )
        for i, name in list(enumerate(named.names))[::every]
    ]
