"""What a conversion did, in numbers and sentences. T is the number of frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .plausibility import Posture, describe_postures
from .recording import RawDataset, Recording

# How many clips a line about clips left out names.
NAMED_CLIPS = 3


@dataclass(frozen=True)
class Summary:
    """What a conversion did; ``str()`` of it is for readers.

    Args:
        out: the result.
        dataset: its name.
        clips: for each clip: frame_dir, label, shape, lost_frames, posture.
        subjects: number of performers; 0 where the data set does not tell.
        split: names of the clips of each split that has any.
        left_out: reason for each clip that is not in the result.
        malformed: reason for each raw file that breaks its format.
    """

    out: Path
    dataset: str
    clips: Sequence[Mapping[str, Any]]
    subjects: int
    split: Mapping[str, list[str]]
    left_out: Mapping[str, str]
    malformed: Mapping[str, str]

    @classmethod
    def collect(cls, out: Path, dataset: RawDataset, indices: Sequence[Mapping[str, Any]]) -> Summary:
        """Put the shards' indices together."""
        clips = [clip for index in indices for clip in index['clips']]
        faults = [fault for index in indices for fault in index['faults']]
        kept = {clip['frame_dir'] for clip in clips}
        recordings = [recording for recording in dataset.recordings if recording.name in kept]
        return cls(
            out=out,
            dataset=dataset.meta['dataset'],
            clips=clips,
            subjects=len({recording.subject for recording in recordings} - {None}),
            split=_group_by_split(recordings),
            left_out={
                **dataset.left_out,
                **{f['name']: f['reason'] if f['empty'] else f'malformed: {f["reason"]}' for f in faults},
            },
            malformed={fault['path']: fault['reason'] for fault in faults if not fault['empty']},
        )

    def __str__(self) -> str:
        labels = {clip['frame_dir']: clip['label'] for clip in self.clips}
        lengths = [clip['shape'][1] for clip in self.clips] or [0]
        persons = Counter(clip['shape'][0] for clip in self.clips)
        lost = [clip['lost_frames'] for clip in self.clips if clip['lost_frames']]
        postures = [Posture(*clip['posture']) for clip in self.clips if clip['posture']]
        return '\n'.join(
            [
                f'{self.dataset}: {len(labels)} clips, {len(set(labels.values()))} classes, '
                f'{self.subjects or "unknown"} subjects -> {self.out}',
                *(
                    f'  {name}: {len(names)} clips, {len({labels[n] for n in names})} classes'
                    for name, names in self.split.items()
                ),
                f'  frames: {min(lengths)} to {max(lengths)}, median {np.median(lengths):g}',
                f'  persons: {", ".join(f"{m} in {n} clips" for m, n in sorted(persons.items()))}',
                *([f'  dropped {sum(lost)} frames without anybody in {len(lost)} clips'] if lost else []),
                *(f'  {line}' for line in describe_postures(postures)),
                *self._describe_left_out(),
            ]
        )

    def _describe_left_out(self) -> list[str]:
        by_reason = defaultdict(list)
        for name, reason in self.left_out.items():
            by_reason[reason].append(name)
        lines = [f'  left out: {len(self.left_out)} clips'] if by_reason else []
        for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            more = ', ...' if len(names) > NAMED_CLIPS else ''
            lines.append(f'    {len(names)}: {reason} ({", ".join(names[:NAMED_CLIPS])}{more})')
        return lines


def _group_by_split(recordings: Sequence[Recording]) -> dict[str, list[str]]:
    split: dict[str, list[str]] = {}
    for recording in recordings:
        for name in recording.splits:
            split.setdefault(name, []).append(recording.name)
    return dict(sorted(split.items()))
