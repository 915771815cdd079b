"""Class names of the supported data sets."""

from __future__ import annotations

from pathlib import Path

from mmdualhead.errors import UserError
from mmdualhead.utils.reading import read_text, split_lines

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    path.stem: tuple(path.read_text(encoding='utf-8').splitlines())
    for path in Path(__file__).with_name('classes').glob('*.txt')
}
"""By data set, in the order of the labels; NTU RGB+D 60 has the first sixty of 120."""

CLASS_NAMES['ntu60'] = CLASS_NAMES['ntu120'][:60]


def class_names(dataset: str, number: int) -> tuple[str, ...] | None:
    """The names of a data set's classes.

    Args:
        dataset: its name, or that of a file that begins with it, such as ``ntu60_3d``.
        number: the required number of classes.

    Returns:
        The names; None if the data set is unknown or has a different number of classes.
    """
    for name, classes in CLASS_NAMES.items():
        if dataset.startswith(name) and len(classes) == number:
            return classes
    return None


def read_class_names(path: str | Path) -> list[str]:
    """The class names in a text file, one per line; empty lines at its end are ignored.

    Raises:
        OSError: it cannot be opened.
        ValueError: a line is empty, a name occurs twice, or a number is not that of its line; the message
            names the line.
    """
    names = [line.strip() for line in split_lines(read_text(path).rstrip())]
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if not name:
            fault = 'no name of a class'
        elif first.setdefault(name, index) != index:
            fault = f'class {name} is also in line {first[name] + 1}'
        elif name.isdecimal() and int(name) != index:
            fault = f'class {index} is named {name}, a different number'
        else:
            continue
        raise UserError(f'{path}, line {index + 1}: {fault}')
    return names
