import json
import re

import cv2
import numpy as np
import pytest

from mmdualhead.datasets.poses import Person
from mmdualhead.errors import UserError
from mmdualhead.skeletons import get_skeleton
from mmdualhead.visualization.video import Film, draw_persons
from mmdualhead.visualization.video_page import write_video_page
from tests.visualization.browser import chromium, complaints

COCO = get_skeleton('coco')
IMAGE = np.full((240, 320, 3), 128, np.uint8)


def person(x=160.0, y=120.0, size=40.0, seed=0):
    joints = np.random.default_rng(seed).uniform(-1, 1, (17, 2)) * size + (x, y)
    return Person(joints.astype(np.float32), np.ones(17, np.float32))


@pytest.mark.parametrize('ground', [0, 255])
def test_persons_and_captions_are_seen_on_dark_and_on_light_ground(ground):
    image = np.full_like(IMAGE, ground)
    drawn = draw_persons(image, COCO, {0: person()}, {(0,): '0  wave 90 %'})
    assert (image == ground).all()
    assert drawn.max(-1).min() < 60
    assert drawn.max(-1).max() > 220


def test_hidden_and_missing_joints_are_not_drawn():
    one = person()
    for change in (Person(one.joints, np.zeros(17)), Person(np.zeros((17, 2)), np.ones(17))):
        assert (draw_persons(IMAGE, COCO, {0: change}, {(0,): '0'}) == IMAGE).all()


def test_joints_outside_of_the_image_do_no_harm():
    far = Person(np.full((17, 2), 1e12, np.float32) * (1, -1), None)
    assert (draw_persons(IMAGE, COCO, {0: far}, {}) == IMAGE).all()
    assert (
        draw_persons(IMAGE, COCO, {0: far}, {(0,): 'a caption wider than the picture ' * 9}).shape
        == IMAGE.shape
    )


def test_captions_cover_neither_each_other_nor_other_persons():
    """Two persons side by side: without and with captions, the second one has the same pixels."""
    left, right = person(150, 180), person(170, 180, seed=1)
    low = np.array([right.joints.min(0)[1], right.joints[:, 0].min(), right.joints[:, 0].max()]).astype(int)
    drawn = [
        draw_persons(IMAGE, COCO, {0: left, 1: right}, captions)
        for captions in (
            {},
            {(0,): '0  a very long name', (1,): '1  another long name', (0, 1): '0+1  hug 80 %'},
        )
    ]
    part = np.s_[low[0] : 240, low[1] : low[2]]
    assert (drawn[0][part] == drawn[1][part]).all()
    assert (drawn[0] != drawn[1]).any(-1).sum() > 1000


@pytest.mark.parametrize('suffix', ['.mp4', '.webm', '.avi'])
def test_a_film_has_all_its_frames(tmp_path, suffix):
    path = tmp_path / f'film{suffix}'
    with Film(path, (240, 320), 12.5) as film:
        for value in range(20):
            film.write(np.full_like(IMAGE, 10 * value))
        film.save()
    read = cv2.VideoCapture(str(path))
    assert read.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_that_is_not_saved_leaves_the_old_one(tmp_path):
    path = tmp_path / 'film.mp4'
    path.write_bytes(b'old')
    with Film(path, (240, 320), 30) as film:
        film.write(IMAGE)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_that_lacks_frames_is_not_saved(tmp_path):
    with Film(tmp_path / 'film.mp4', (240, 320), 30) as film:
        film.write(IMAGE)
        film.count += 1
        with pytest.raises(OSError, match='could not be written: it has 1 of 2 frames; is the disk full'):
            film.save()
    assert not list(tmp_path.iterdir())


def test_other_films_are_refused(tmp_path):
    with pytest.raises(UserError, match='films are written as'):
        Film(tmp_path / 'film.gif', (240, 320), 30)


FOUND = dict(
    duration=6.0,
    stopped=False,
    persons=[dict(id=0, begin=0.0, end=6.0, frames=180), dict(id=1, begin=1.0, end=4.0, frames=90)],
    segments=[
        dict(persons=[0], label=1, class_name='wave </script>', begin=0.0, end=2.5, score=0.9),
        dict(persons=[0, 1], label=2, class_name='<b>hug</b>', begin=2.5, end=4.0, score=0.6),
    ],
)


def test_a_page_holds_what_was_found(tmp_path):
    pytest.importorskip('plotly')
    (tmp_path / 'my film.webm').touch()
    page = write_video_page(FOUND, tmp_path / 'page', 'a <clip>', ['model: m'], tmp_path / 'my film.webm')
    content = re.search(r'application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    data = json.loads(content.group(1))
    assert data['segments'] == FOUND['segments']
    assert data['film'] == '../my%20film.webm'


def test_a_page_shows_a_timeline_and_jumps_to_a_segment(tmp_path):
    pytest.importorskip('plotly')
    page = write_video_page(FOUND, tmp_path / 'page', 'clip', ['model: m'])
    with chromium(tmp_path / 'profile') as driver:
        driver.get(page.as_uri())
        assert complaints(driver) == []
        rows = driver.find_elements('css selector', '#rows tr')
        assert [row.text for row in rows] == [
            '0 wave </script> 0:00.0 0:02.5 90.0 %',
            '0+1 <b>hug</b> 0:02.5 0:04.0 60.0 %',
        ]
        rows[1].click()
        assert 'current' in rows[1].get_attribute('class')
        assert (
            driver.execute_script("return document.querySelectorAll('#timeline .barlayer .point').length")
            >= 4
        )


@pytest.mark.parametrize('frame_rate', [0.5, 23.976, 59.94, 123.456, 1234.567, 98765.4])
def test_films_have_any_frame_rate(tmp_path, frame_rate):
    with Film(tmp_path / 'film.mp4', (64, 64), frame_rate) as film:
        film.write(np.zeros((64, 64, 3), np.uint8))
        film.save()
    assert (tmp_path / 'film.mp4').is_file()
