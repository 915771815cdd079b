"""The names of the classes of the data sets that the package knows."""

from __future__ import annotations

from mmdualhead.datasets.converters import kinetics, msr_action3d, ntu, nw_ucla, utd_mhad

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    'ntu60': ntu.CLASSES[:60],
    'ntu120': ntu.CLASSES,
    'kinetics': kinetics.CLASSES,
    'utd_mhad': utd_mhad.CLASSES,
    'nw_ucla': nw_ucla.CLASSES,
    'msr_action3d': msr_action3d.CLASSES,
}


def class_names(dataset: str, number: int) -> tuple[str, ...] | None:
    """The names of a data set's classes.

    Args:
        dataset: its name, or that of a file that begins with it, such as ``ntu60_3d``.
        number: how many classes there must be.

    Returns:
        The names; None for a data set that is not known or has another number of classes.
    """
    for name, classes in CLASS_NAMES.items():
        if dataset.startswith(name) and len(classes) == number:
            return classes
    return None
