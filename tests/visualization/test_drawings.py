import resource

import numpy as np
import pytest

from mmdualhead.visualization import figures
from mmdualhead.visualization.drawings import draw_animation, draw_strip

from .test_pages import make_answer

pytest.importorskip('matplotlib')
pytest.importorskip('plotly')


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch):
    monkeypatch.setattr(figures, 'DPI', 30)


def test_strips_and_films_have_the_frames_of_the_clip(tmp_path):
    import cv2
    from PIL import Image

    answer = make_answer('clip', frames=5)
    draw_strip(answer, tmp_path / 'strip.png')
    assert np.ptp(np.asarray(Image.open(tmp_path / 'strip.png'))) > 100
    draw_animation(answer, tmp_path / 'film.gif')
    assert Image.open(tmp_path / 'film.gif').n_frames == 5
    draw_animation(answer, tmp_path / 'film.mp4')
    assert cv2.VideoCapture(str(tmp_path / 'film.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 5
    with pytest.raises(ValueError, match=r'\.gif or \.mp4'):
        draw_animation(answer, tmp_path / 'film.avi')


@pytest.mark.parametrize('suffix', ['gif', 'mp4'])
def test_a_full_disk_leaves_no_part_of_a_film(tmp_path, suffix):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match='could not'):
            draw_animation(make_answer('clip', frames=5), tmp_path / f'film.{suffix}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []
