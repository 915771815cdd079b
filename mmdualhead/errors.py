"""User errors, and what checks find: the two ways in which this package says that something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum


class UserError(ValueError):
    """A file, a config, a recording or a command line that can't be used as it is.

    The message names it and says why and what to do; commands print it without a traceback.
    """


class Level(Enum):
    """What follows from a finding."""

    ERROR = 'error'
    """A definite mistake; nothing is started."""
    WARNING = 'warning'
    """A likely mistake; the work goes on."""
    NOTE = 'note'
    """Worth knowing, such as a check that could not be made."""


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Args:
        level: what follows from it.
        where: the file, the key of the config, the data loader, or the clip and its field; may be empty.
        text: what is wrong there, and what to do about it.
    """

    level: Level
    where: str
    text: str

    def __str__(self) -> str:
        return f'{self.where}: {self.text}' if self.where else self.text

    @property
    def is_error(self) -> bool:
        """Whether nothing may be started."""
        return self.level is Level.ERROR


def report(findings: Iterable[Finding], warn: Callable[[str], None]) -> None:
    """Refuse what has errors; otherwise pass on the rest.

    Args:
        findings: what the checks found.
        warn: takes the line of a warning or note.

    Raises:
        UserError: there are errors; names all of them.
    """
    found = list(findings)
    errors = [str(finding) for finding in found if finding.is_error]
    if errors:
        raise UserError(errors[0] if len(errors) == 1 else '\n  '.join([f'{len(errors)} errors:', *errors]))
    for finding in found:
        warn(str(finding))
