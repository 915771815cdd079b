import numpy as np
import pytest

from mmdualhead.apis.frames import Frames
from mmdualhead.errors import UserError
from tests.apis.videos import FRAMES, RATE, SIZE, turn, write_video


def test_all_frames_come_with_their_times_in_rgb(tmp_path):
    frames = Frames(write_video(tmp_path / 'clip.mp4'))
    assert (frames.img_shape, frames.frame_rate, frames.count) == (SIZE, RATE, FRAMES)
    assert frames.duration == FRAMES / RATE
    images, times = zip(*frames, strict=True)
    assert np.allclose(times, np.arange(FRAMES) / RATE, atol=2e-3)
    left, right = images[0][60, 20], images[0][60, 140]
    assert left.argmax() == 0
    assert right.argmax() == 2


def test_a_turned_video_is_shown_upright(tmp_path):
    path = write_video(tmp_path / 'clip.mp4')
    turn(path)
    frames = Frames(path)
    assert frames.img_shape == SIZE[::-1]
    image, _ = next(iter(frames))
    assert image[20, 60].argmax() == 0  # what was left is on top
    assert image[140, 60].argmax() == 2


def test_times_go_on_where_a_file_has_none(tmp_path, monkeypatch):
    frames = Frames(write_video(tmp_path / 'clip.mp4', frames=5))
    stated = frames._stated
    monkeypatch.setattr(frames, '_stated', lambda name: 0.0 if name == 'CAP_PROP_POS_MSEC' else stated(name))
    assert np.allclose([time for _, time in frames], np.arange(5) / RATE)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('missing.mp4', None, r'missing\.mp4: no such file'),
        ('empty.mp4', b'', 'not a video that OpenCV can read'),
        ('text.mp4', b'hello ' * 100, 'not a video that OpenCV can read'),
        ('', None, 'is not a file'),
        ('97', None, 'camera 97: there is none, or it is in use'),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, capfd, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((UserError, FileNotFoundError), match=message):
        Frames(name if name.isdecimal() else path)
    assert capfd.readouterr().err == ''


def test_a_video_without_frames_is_refused(tmp_path):
    path = write_video(tmp_path / 'clip.mp4', frames=3)
    content = path.read_bytes()
    at = content.index(b'mdat')
    end = content.index(b'moov') - 4
    path.write_bytes(content[: at + 4] + bytes(end - at - 4) + content[end:])
    with pytest.raises(UserError, match=r'clip\.mp4 has no frames'):
        Frames(path)
