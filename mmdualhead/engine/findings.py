"""What the checks before a run find: faults end it, notes are warned of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mmdualhead.engine.checkpoints import RunError


class Fault(str):
    """A mistake for certain: there is no run."""


class Note(str):
    """A likely mistake: the run goes on, with a warning."""


def report_findings(findings: Iterable[Fault | Note], warn: Callable[[str], None] = print) -> None:
    """Warn of the notes, or end the run.

    Args:
        findings: what was found.
        warn: logs a line.

    Raises:
        RunError: there is a fault; names all of them.
    """
    found = list(findings)
    faults = [finding for finding in found if isinstance(finding, Fault)]
    if faults:
        raise RunError('\n  '.join([f'{len(faults)} things are wrong:', *faults] if faults[1:] else faults))
    for note in found:
        warn(note)
