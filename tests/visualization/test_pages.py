import dataclasses
import json
import re
import time

import numpy as np
import pytest

from mmdualhead.evaluation.answer import Answer
from mmdualhead.skeletons import COCO, NTU
from mmdualhead.visualization.pages import clip_data, upright, write_page, write_pages

from .browser import chromium, complaints, requested

pytest.importorskip('plotly')

EVIL = '</script><img src=x onerror="window.hurt=1">/../../evil'


def make_answer(name, label=0, true_label=0, skeleton=NTU, persons=1, frames=12, channels=3):
    rng = np.random.default_rng(len(name))
    scores = np.full(3, 0.1) + 0.7 * np.eye(3)[label]
    heads = {'fused': scores, 'coarse': scores, 'fine': np.roll(scores, label), 'third': scores}
    return Answer(
        name=name,
        scores=heads,
        classes=('sit', EVIL, 'wave'),
        skeleton=skeleton,
        keypoint=rng.normal(size=(persons, frames, skeleton.num_joints, channels)).astype(np.float32),
        when=np.where(np.arange(frames) % 2, np.nan, 0.5).astype(np.float32),
        where=rng.random(skeleton.num_joints).astype(np.float32),
        true_label=true_label,
    )


def make_answers():
    return [
        make_answer('one', persons=2),
        make_answer(EVIL, label=1, true_label=1),
        make_answer('flat', label=2, true_label=0, skeleton=COCO, channels=2),
        make_answer('S001C001P001R001A001', true_label=None),
    ]


def test_names_become_neither_paths_nor_html(tmp_path):
    index = write_pages(make_answers(), tmp_path / 'pages')
    assert [path.name for path in tmp_path.iterdir()] == ['pages']
    names = {path.name for path in index.parent.iterdir()}
    assert names == {'index.html', 'plotly.min.js', *(f'clip_{i:04}.html' for i in range(4))}
    page = (index.parent / 'clip_0001.html').read_text()
    assert '<img' not in page
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.S)[1])
    assert data['name'] == EVIL
    assert list(data['heads']) == ['fused', 'coarse', 'fine', 'third']


def test_pages_ask_for_nothing_from_elsewhere(tmp_path):
    index = write_pages(make_answers(), tmp_path)
    for path in index.parent.glob('*.html'):
        assert re.findall(r'(?:src|href)="(?!plotly\.min\.js|data:)[^"]*"', path.read_text()) == []


def test_pages_of_earlier_clips_are_removed(tmp_path):
    write_pages(make_answers(), tmp_path)
    write_pages(make_answers()[:1], tmp_path)
    assert [path.name for path in tmp_path.glob('clip_*')] == ['clip_0000.html']


def test_answers_of_other_classes_are_refused(tmp_path):
    other = dataclasses.replace(make_answer('one'), classes=('a', 'b', 'c'))
    with pytest.raises(ValueError, match='same classes'):
        write_pages([make_answer('one'), other], tmp_path)


@pytest.mark.parametrize(('axis', 'sign'), [(1, 1), (1, -1), (2, 1)])
def test_heads_are_above_feet_whichever_axis_is_up(axis, sign):
    keypoint = np.random.default_rng(0).normal(size=(1, 3, 25, 3)) * 0.01
    keypoint[..., axis] += sign * np.isin(np.arange(25), [1, 2, 3, 20])
    keypoint[0, 1, 3] = 0
    shown = upright(keypoint, NTU)
    assert (shown[0, [0, 2], 3, 2] > shown[0, [0, 2], 15, 2]).all()
    assert np.isnan(shown[0, 1, 3]).all()


@pytest.mark.parametrize('up', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_persons_are_turned_never_mirrored(up):
    keypoint = np.random.default_rng(0).normal(size=(1, 2, 25, 3)) * 0.1
    keypoint[..., [1, 2, 3, 20], :] += up
    before, after = (np.diff(points[0, 0, :4], axis=0) for points in (keypoint, upright(keypoint, NTU)))
    assert np.linalg.det(after) == pytest.approx(np.linalg.det(before))


def test_absent_persons_are_left_out():
    answer = make_answer('one', persons=2)
    answer.keypoint[1] = 0
    assert len(clip_data(answer)['persons']) == 1


@pytest.mark.heavy
@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [390, 1600])
def test_a_browser_plays_scrubs_turns_and_filters(tmp_path, width, dark):
    index = write_pages(make_answers(), tmp_path / 'pages')
    write_page(make_answer('alone'), tmp_path / 'alone.html')
    with chromium(tmp_path / 'profile', width, dark=dark) as driver:
        run = driver.execute_script
        driver.get('about:blank')
        requested(driver)

        driver.get(index.as_uri())
        assert run('return document.querySelectorAll("#rows tr").length') == 4
        assert run(
            'return [...document.querySelectorAll("#rows a")].filter((a) => !a.textContent.includes(" "))'
            '.every((a) => a.getClientRects().length === 1)'
        )
        run('document.getElementById("wrong").click()')
        assert run('return document.querySelector("#rows").innerText').split()[0] == 'flat'
        assert run('return document.querySelectorAll("#rows tr").length') == 1
        run('open({points: [{x: 1, y: 1}]})')
        assert run('return document.querySelector("#rows a").textContent') == EVIL
        run('document.getElementById("clear").click()')
        run('document.querySelector("th[data-key=confidence]").click()')
        assert run('return document.documentElement.scrollWidth <= window.innerWidth')
        run('document.querySelector(\'a[href="clip_0000.html"]\').click()')

        assert driver.current_url.endswith('clip_0000.html')
        assert len(run('return document.getElementById("skeleton").data')) == 4
        first = run('return document.getElementById("skeleton").data[1].x')
        run('document.getElementById("forward").click()')
        assert run('return viewer.frame') == 1
        assert run('return document.getElementById("skeleton").data[1].x') != first
        run('document.getElementById("play").click()')
        time.sleep(1)
        assert run('return viewer.playing')
        run('document.getElementById("play").click()')
        scrub(driver, 0.99)
        assert run('return viewer.frame') >= 10
        before = camera(driver)
        for _ in range(5):
            # A software renderer may still be busy with the last frame.
            drag(driver, '#skeleton', 60)
            if camera(driver) != before:
                break
        assert camera(driver) != before

        for page in ('pages/clip_0001.html', 'pages/clip_0002.html', 'pages/clip_0003.html', 'alone.html'):
            driver.get((tmp_path / page).as_uri())
            assert run('return document.getElementById("skeleton").data.length') == 2
            assert run('return document.documentElement.scrollWidth <= window.innerWidth')
            assert run('return window.hurt') is None
        assert complaints(driver) == []
        assert [url for url in requested(driver) if not url.startswith(('file:', 'data:', 'blob:'))] == []


def camera(driver):
    scene = 'document.getElementById("skeleton")._fullLayout.scene._scene'
    return driver.execute_script(f'return JSON.stringify({scene}.getCamera().eye)')


def scrub(driver, share):
    box = driver.execute_script(
        'const e = document.getElementById("when"); e.scrollIntoView(); '
        'const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]'
    )
    mouse(driver, 'mousePressed', box[0] + 46 + share * (box[2] - 56), box[1] + box[3] / 3)
    mouse(driver, 'mouseReleased', box[0] + 46 + share * (box[2] - 56), box[1] + box[3] / 3)


def drag(driver, selector, distance):
    x, y = driver.execute_script(
        f'const e = document.querySelector("{selector}"); e.scrollIntoView(); '
        'const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]'
    )
    mouse(driver, 'mouseMoved', x, y)
    mouse(driver, 'mousePressed', x, y, buttons=1)
    for step in range(1, 7):
        mouse(driver, 'mouseMoved', x + distance * step / 6, y, buttons=1)
        time.sleep(0.05)
    mouse(driver, 'mouseReleased', x + distance, y)
    time.sleep(0.5)


def mouse(driver, kind, x, y, buttons=0):
    event = dict(type=kind, x=x, y=y, button='left', buttons=buttons, clickCount=1)
    driver.execute_cdp_cmd('Input.dispatchMouseEvent', event)
