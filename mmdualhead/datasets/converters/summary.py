"""A summary of a conversion."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mmdualhead.datasets.plausibility import describe_pictures, describe_postures
from mmdualhead.errors import Finding, Level
from mmdualhead.utils.text import and_more, printable

from .raw_clip import Outcome
from .raw_dataset import RawDataset


@dataclass(frozen=True)
class Summary:
    """What a conversion did; ``str()`` gives the text.

    Args:
        out: the result.
        dataset: what was converted.
        outcomes: the outcome of each raw file, by the names of the clips, in order.
    """

    out: Path
    dataset: RawDataset
    outcomes: Mapping[str, Outcome]

    @cached_property
    def clips(self) -> dict[str, Outcome]:
        """The outcomes of the clips in the result."""
        return {name: outcome for name, outcome in self.outcomes.items() if not outcome.finding}

    @cached_property
    def missing(self) -> dict[str, Finding]:
        """The reasons why raw files have no clip in the result."""
        return {name: outcome.finding for name, outcome in self.outcomes.items() if outcome.finding}

    @property
    def split(self) -> dict[str, list[str]]:
        """Names of the clips of each split that has any."""
        split = defaultdict(list)
        for recording in self.dataset.recordings:
            for name in recording.splits:
                if recording.name in self.clips:
                    split[name].append(recording.name)
        return dict(sorted(split.items()))

    @property
    def left_out(self) -> dict[str, str]:
        """Reason for each clip that is not in the result."""
        reasons = {name: f'malformed: {f.text}' if f.is_error else f.text for name, f in self.missing.items()}
        return {**self.dataset.left_out, **reasons}

    @property
    def findings(self) -> list[Finding]:
        """Findings on the posture of the persons, the raw files as a whole, and the excluded clips."""
        found = describe_postures([clip.posture for clip in self.clips.values() if clip.posture])
        found += describe_pictures([clip.picture for clip in self.clips.values() if clip.picture is not None])
        labels = {clip.label for clip in self.clips.values() if clip.label is not None}
        if labels and min(labels) == 1 and not self.dataset.meta.get('classes'):
            text = f'no clip has class 0; labels count from 0, so these need num_classes={max(labels) + 1}'
            found.append(Finding(Level.WARNING, 'label', text))
        found += [Finding(Level.NOTE, '', note) for note in self.dataset.notes]
        by_reason = defaultdict(list)
        for name, reason in self.left_out.items():
            by_reason[reason].append(name)
        if by_reason:
            found.append(Finding(Level.NOTE, 'left out', f'{len(self.left_out)} clips'))
        for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            found.append(Finding(Level.NOTE, f'  {len(names)}', f'{reason} ({and_more(names)})'))
        return found

    def __str__(self) -> str:
        return '\n  '.join(map(printable, self._lines()))

    def _lines(self) -> Iterator[str]:
        clips = self.clips
        subjects = {r.subject for r in self.dataset.recordings if r.name in clips} - {None}
        yield (
            f'{self.dataset.meta["dataset"]}: {len(clips)} clips, '
            f'{len({clip.label for clip in clips.values()})} classes, '
            f'{len(subjects) or "unknown"} subjects -> {self.out}'
        )
        for name, names in self.split.items():
            yield f'{name}: {len(names)} clips, {len({clips[n].label for n in names})} classes'
        if clips:
            persons, frames = zip(*(clip.shape[:2] for clip in clips.values()), strict=True)
            yield f'frames: {min(frames)} to {max(frames)}, median {np.median(frames):g}'
            yield f'persons: {", ".join(f"{m} in {n} clips" for m, n in sorted(Counter(persons).items()))}'
        for what in dict.fromkeys(what for clip in clips.values() for what in clip.counts):
            counts = [count for clip in clips.values() if (count := clip.counts.get(what))]
            if counts:
                yield f'{what}: {sum(counts)} in {len(counts)} clips'
        for finding in self.findings:
            yield f'WARNING: {finding}' if finding.level is Level.WARNING else str(finding)
