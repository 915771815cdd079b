"""All pictures of an error report."""

from __future__ import annotations

from pathlib import Path

from mmdualhead.evaluation.error_report import ErrorReport

from .figures import draw_confusion, draw_gains, draw_reliability


def draw_errors(report: ErrorReport, out_dir: str | Path) -> list[Path]:
    """Draw the confusion matrix, the gains over each head and the other model, and the reliability diagram.

    Args:
        report: what to draw.
        out_dir: the folder; it is made.

    Returns:
        The files: ``confusion.png``, ``gain_over_{HEAD,other}.png``, ``reliability.png``.

    Raises:
        ImportError: matplotlib is missing.
    """
    out_dir = Path(out_dir)
    confusion, reliability = out_dir / 'confusion.png', out_dir / 'reliability.png'
    numbered = [name if name == str(i) else f'{name}  {i}' for i, name in enumerate(report.classes)]
    draw_confusion(report.matrix, numbered, confusion)
    draw_reliability(report.calibrations, reliability)
    files = [confusion, reliability]
    for rival, gain in report.gains.items():
        name = report.other.source if report.other and rival == 'other' else f'the {rival} head'
        files.append(out_dir / f'gain_over_{rival}.png')
        draw_gains(gain, report.classes, f'Fused score of {report.scores.source}\nagainst {name}', files[-1])
    return files
