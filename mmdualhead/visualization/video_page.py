"""A page for a browser: who does what in a video, and when. It works offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmdualhead.utils.files import write_text
from mmdualhead.visualization.pages import INDEX, SCRIPT, page, plotly_script


def write_video_page(
    found: Mapping[str, Any],
    out_dir: str | Path,
    name: str,
    about: Sequence[str] = (),
    film: Path | None = None,
) -> Path:
    """Write a page with a timeline for each person and pair, and plotly's script next to it.

    Args:
        found: ``duration``, ``stopped``, ``persons`` and ``segments``, as in the JSON file.
        out_dir: the directory; it is created.
        name: of the video.
        about: lines about the model and the video.
        film: a file that the browser plays beside the timeline, if it knows its codec; the page refers to it.

    Returns:
        The page.

    Raises:
        ImportError: plotly is missing.
    """
    out_dir = Path(out_dir)
    write_text(out_dir / SCRIPT, plotly_script())
    data = {**found, 'name': name, 'about': list(about), 'film': film and _address(film, out_dir)}
    write_text(out_dir / INDEX, page('video', data, f'<script src="{SCRIPT}"></script>'))
    return out_dir / INDEX


def _address(film: Path, out_dir: Path) -> str:
    """Where a file is, as seen from the page."""
    try:
        return quote(Path(os.path.relpath(film, out_dir)).as_posix())
    except ValueError:  # another drive of Windows
        return film.absolute().as_uri()
