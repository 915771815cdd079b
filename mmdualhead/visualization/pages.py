"""Pages for a browser: one per clip, and an index over many. They work offline.

M persons, T frames, V joints, C coordinates, K classes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from mmdualhead.evaluation.answer import Answer, plain_numbers
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.skeletons import Skeleton
from mmdualhead.utils.files import check_writable, write_text

ASSETS = Path(__file__).parent / 'assets'
SCRIPT = 'plotly.min.js'
INDEX = 'index.html'
PAGE = re.compile(r'clip_\d+\.html')
BARS = 5
FRAME_RATE = 30.0


def check_pages(out_dir: str | Path) -> None:
    """Check before long work that pages can be written; the directory is created.

    Raises:
        ImportError: plotly is missing.
        OSError: they cannot be.
    """
    plotly_script()
    check_writable(Path(out_dir) / INDEX)


def write_pages(answers: Sequence[Answer], out_dir: str | Path, frame_rate: float = FRAME_RATE) -> Path:
    """Write one page per clip, an index page, and plotly's script next to them.

    Pages are numbered: names of clips never become paths. Those of an earlier call are removed.

    Args:
        answers: of one model, that is, with the same classes.
        out_dir: the directory; it is created.
        frame_rate: frames per second at which clips play at speed 1.

    Returns:
        The index page.

    Raises:
        ImportError: plotly is missing.
        ValueError: there are no answers, or they differ in their classes.
    """
    if len({answer.classes for answer in answers}) != 1:
        raise ValueError('an index page needs at least one answer, and all with the same classes')
    out_dir = Path(out_dir)
    write_text(out_dir / SCRIPT, plotly_script())
    script = f'<script src="{SCRIPT}"></script>'
    for older in out_dir.glob('clip_*.html'):
        if PAGE.fullmatch(older.name):
            older.unlink()
    width = max(4, len(str(len(answers))))
    files = [f'clip_{i:0{width}}.html' for i in range(len(answers))]
    around = zip([None, *files[:-1]], files, [*files[1:], None], strict=True)
    for answer, (previous, file, following) in zip(answers, around, strict=True):
        links = dict(previous=previous, next=following, index=INDEX)
        data = {**clip_data(answer), 'frame_rate': frame_rate, **links}
        write_text(out_dir / file, page('clip', data, script))
    rows = [_row(answer, file) for answer, file in zip(answers, files, strict=True)]
    data = dict(name=f'{len(answers)} clips', classes=answers[0].classes, clips=rows)
    write_text(out_dir / INDEX, page('index', data, script))
    return out_dir / INDEX


def write_page(answer: Answer, path: str | Path, frame_rate: float = FRAME_RATE) -> Path:
    """Write one clip as a self-contained file, including plotly's script (5 MB).

    Raises:
        ImportError: plotly is missing.
    """
    script = plotly_script().replace('</script', '<\\/script')
    data = {**clip_data(answer), 'frame_rate': frame_rate}
    write_text(path, page('clip', data, f'<script>{script}</script>'))
    return Path(path)


def clip_data(answer: Answer) -> dict[str, Any]:
    """The data of the page of a clip, as plain values.

    ``persons`` (M, T, V, 2 or 3) has the vertical coordinate last and pointing up; missing joints (zero) are
    None. Persons without any joint are omitted.
    """
    skeleton = answer.skeleton
    return dict(
        name=answer.title,
        true=None if answer.true_label is None else answer.classes[answer.true_label],
        label=answer.class_name,
        confidence=answer.confidence,
        joints=skeleton.joints,
        bones=skeleton.bones,
        persons=_plain(upright(answer.keypoint, skeleton)),
        when=_plain(answer.when),
        where=_plain(answer.where),
        heads={head: [guess._asdict() for guess in answer.top(BARS, head)] for head in answer.scores},
    )


def upright(keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(M, T, V, 2 or 3) with the last axis pointing up, and NaN for missing joints.

    The vertical axis is determined from the up direction of the layout, over all frames. Joints in 3D are
    rotated, never mirrored: a right hand stays a right hand.
    """
    keypoint = keypoint[keypoint.any((1, 2, 3))]
    there = np.asarray(keypoint.any(-1))
    if is_flat(keypoint, skeleton):
        # Rows of an image are counted from the top.
        shown = keypoint[..., :2] * (1, -1)
    else:
        direction = np.array([0.0, 1.0, 0.0])
        if skeleton.up is not None:
            start, end = skeleton.up
            both = there[..., start] & there[..., end]
            if both.any():
                direction = (keypoint[both][:, end] - keypoint[both][:, start]).mean(0)
        axis = int(np.abs(direction).argmax())
        order = [other for other in range(3) if other != axis] + [axis]
        signs = np.array([1.0, 1.0, -1.0 if direction[axis] < 0 else 1.0])
        signs[0] = np.linalg.det(np.eye(3)[order]) * signs[2]
        shown = keypoint[..., order] * signs
    return np.where(there[..., None], shown, np.nan)


def is_flat(keypoint: np.ndarray, skeleton: Skeleton) -> bool:
    """True if joints are in an image; a third coordinate is then a confidence."""
    return skeleton.flat or keypoint.shape[-1] == 2


def _row(answer: Answer, file: str) -> dict[str, Any]:
    heads = {int(scores.argmax()) for head, scores in answer.scores.items() if head != FUSED}
    return dict(
        file=file,
        name=answer.title,
        true=answer.true_label,
        label=answer.label,
        confidence=round(answer.confidence, 4),
        agree=len(heads) <= 1,
    )


def _plain(values: np.ndarray | None) -> Any:
    """Nested lists, rounded to 0.1 mm (for meters), with None for NaN."""
    return None if values is None else plain_numbers(np.round(values.astype(np.float64), 4))


def page(kind: str, data: dict[str, Any], plotly: str) -> str:
    """A page out of its parts. Names from outside are data and never interpreted as HTML."""
    common, style, script, body, program = (
        (ASSETS / name).read_text(encoding='utf-8')
        for name in ('page.html', 'page.css', 'common.js', f'{kind}.html', f'{kind}.js')
    )
    # Inside a script, only "<" could end it.
    content = json.dumps(data, separators=(',', ':'), allow_nan=False).replace('<', '\\u003c')
    return Template(common).substitute(
        title=html.escape(data['name']),
        style=style,
        plotly=plotly,
        body=body,
        data=content,
        program=script + program,
    )


def plotly_script() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError('pages need plotly: pip install "mmdualhead[view]" (or plotly)') from error
    return get_plotlyjs()
