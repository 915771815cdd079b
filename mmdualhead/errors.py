"""User errors and findings of checks: the two ways in which this package reports faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum


class UserError(ValueError):
    """A file, a config, a recording or a command line that cannot be used.

    The message names it, the cause and the remedy; commands print it without a traceback.
    """


class Level(Enum):
    """The severity of a finding."""

    ERROR = 'error'
    """A definite mistake; nothing is started."""
    WARNING = 'warning'
    """A likely mistake; the work continues."""
    NOTE = 'note'
    """Information, such as a check that could not be made."""


@dataclass(frozen=True)
class Finding:
    """A fault or a note found by a check.

    Args:
        level: its severity.
        where: the file, the key of the config, the data loader, or the clip and its field; may be empty.
        text: the fault and its remedy.
    """

    level: Level
    where: str
    text: str

    def __str__(self) -> str:
        return f'{self.where}: {self.text}' if self.where else self.text

    @property
    def is_error(self) -> bool:
        """True if the work must not start."""
        return self.level is Level.ERROR


def report(findings: Iterable[Finding], warn: Callable[[str], None]) -> None:
    """Raise an error if there are any; otherwise pass on warnings and notes.

    Args:
        findings: the results of checks.
        warn: called with the line of each warning or note.

    Raises:
        UserError: there are errors; the message lists all of them.
    """
    found = list(findings)
    errors = [str(finding) for finding in found if finding.is_error]
    if errors:
        raise UserError(errors[0] if len(errors) == 1 else '\n  '.join([f'{len(errors)} errors:', *errors]))
    for finding in found:
        warn(str(finding))
