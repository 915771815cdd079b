"""What a conversion did, in numbers and sentences. T is the number of frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdualhead.datasets.plausibility import describe_pictures, describe_postures
from mmdualhead.utils.text import and_more, printable

from .recording import RawDataset


@dataclass(frozen=True)
class Summary:
    """What a conversion did; ``str()`` of it is for readers.

    Args:
        out: the result.
        dataset: what was converted.
        clips: for each clip in the result: frame_dir, label, shape, counts, posture.
        faults: for each raw file that is not in it: name, path, reason, and whether it is merely empty.
    """

    out: Path
    dataset: RawDataset
    clips: Sequence[Mapping[str, Any]]
    faults: Sequence[Mapping[str, Any]]

    @property
    def split(self) -> dict[str, list[str]]:
        """Names of the clips of each split that has any."""
        kept = {clip['frame_dir'] for clip in self.clips}
        split = defaultdict(list)
        for recording in self.dataset.recordings:
            for name in recording.splits:
                if recording.name in kept:
                    split[name].append(recording.name)
        return dict(sorted(split.items()))

    @property
    def left_out(self) -> dict[str, str]:
        """Reason for each clip that is not in the result."""
        reasons = {f['name']: f['reason'] if f['empty'] else f'malformed: {f["reason"]}' for f in self.faults}
        return {**self.dataset.left_out, **reasons}

    def __str__(self) -> str:
        return '\n  '.join(map(printable, self._sentences()))

    def _sentences(self) -> Iterator[str]:
        labels = {clip['frame_dir']: clip['label'] for clip in self.clips}
        subjects = {r.subject for r in self.dataset.recordings if r.name in labels} - {None}
        yield (
            f'{self.dataset.meta["dataset"]}: {len(labels)} clips, {len(set(labels.values()))} classes, '
            f'{len(subjects) or "unknown"} subjects -> {self.out}'
        )
        for name, names in self.split.items():
            yield f'{name}: {len(names)} clips, {len({labels[n] for n in names})} classes'
        if self.clips:
            persons, frames = zip(*(clip['shape'][:2] for clip in self.clips), strict=True)
            yield f'frames: {min(frames)} to {max(frames)}, median {np.median(frames):g}'
            yield f'persons: {", ".join(f"{m} in {n} clips" for m, n in sorted(Counter(persons).items()))}'
        for what in dict.fromkeys(what for clip in self.clips for what in clip['counts']):
            counts = [count for clip in self.clips if (count := clip['counts'].get(what))]
            if counts:
                yield f'{what}: {sum(counts)} in {len(counts)} clips'
        yield from describe_postures([clip['posture'] for clip in self.clips if clip['posture']])
        yield from describe_pictures([clip['picture'] for clip in self.clips if clip['picture'] is not None])
        yield from self.dataset.notes
        yield from self._describe_left_out()

    def _describe_left_out(self) -> Iterator[str]:
        by_reason = defaultdict(list)
        for name, reason in self.left_out.items():
            by_reason[reason].append(name)
        if by_reason:
            yield f'left out: {len(self.left_out)} clips'
        for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            yield f'  {len(names)}: {reason} ({and_more(names)})'
