"""Each format is damaged at many places: what is read is what an independent reader reads, or an error.

The independent readers are SciPy, NumPy, ``json`` and ``csv``; they need not notice the damage.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mmdualhead.apis.readers import read_file
from mmdualhead.datasets.annotations.store import Store, write_store
from mmdualhead.datasets.class_names import read_class_names
from mmdualhead.datasets.converters import Recording, kinetics, ntu
from mmdualhead.datasets.converters.custom import read_recording, read_table, scan
from mmdualhead.datasets.converters.msr_action3d import ROWS as MSR_ROWS
from mmdualhead.datasets.converters.ntu_file import parse_skeleton
from mmdualhead.datasets.converters.utd_mhad import ROWS
from mmdualhead.evaluation.scores import LabeledScores, load_scores, save_scores

from .raw_files import (
    BODY_A,
    BODY_B,
    kinetics_frame,
    ntu_frames,
    standing,
    star,
    write_kinetics,
    write_msr,
    write_ntu,
    write_ucla,
)

PLACES = [60, pytest.param(300, marks=pytest.mark.heavy)]
SPECIAL = b'0123456789.,;-+eE_ \n\r\t"#tn{}[]\0\xff'

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(autouse=True, params=PLACES)
def places(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """At how many places :func:`check_damaged` damages a file."""
    monkeypatch.setattr(check_damaged, 'places', request.param, raising=False)


def damaged(content: bytes, seed: int) -> bytes:
    """A copy with one damage: another byte, one more or less, an end cut off, or a part that stands twice."""
    rng = random.Random(seed)
    place = rng.randrange(len(content))
    byte = bytes([rng.choice([*content[:200], *SPECIAL, rng.randrange(256)])])
    kind = rng.choice(['change', 'change', 'bit', 'insert', 'delete', 'cut', 'append', 'double'])
    before, after = content[:place], content[place + 1 :]
    match kind:
        case 'change':
            return before + byte + after
        case 'bit':
            return before + bytes([content[place] ^ 1 << rng.randrange(8)]) + after
        case 'insert':
            return before + byte + content[place:]
        case 'delete':
            return before + after
        case 'cut':
            return before
        case 'append':
            return content + byte * rng.randrange(1, 9)
        case _:
            return content[: place + rng.randrange(1, 30)] + content[place:]


def check_damaged(
    path: Path, read: Callable[[Path], Any], independent: Callable[[Path], Any], named: bool
) -> None:
    """Damage a file at many places.

    Args:
        path: a sound file.
        read: what is tested.
        independent: reads the same in another way.
        named: ``read`` itself names the file in its errors, not its caller.
    """
    content = path.read_bytes()
    np.testing.assert_equal(read(path), independent(path))
    refused = 0
    for seed in range(check_damaged.places):
        path.write_bytes(damaged(content, seed))
        try:
            found = read(path)
        except (ValueError, OSError) as error:
            refused += 1
            if named and path.name not in str(error):
                raise
            continue
        np.testing.assert_equal(found, independent(path), err_msg=f'damage {seed}')
    assert refused, 'no damage was noticed'


def keypoint(path: Path) -> np.ndarray:
    return read_file(path).keypoint


def test_skeleton(tmp_path: Path) -> None:
    path = tmp_path / 'S001C001P001R001A023.skeleton'
    write_ntu(path, ntu_frames({BODY_A: (0, standing(25, 3)), BODY_B: (1, standing(25, 1, 1))}, 3))

    def independent(path: Path) -> list:
        fields = iter(path.read_bytes().split())
        bodies = []
        for frame in range(int(next(fields))):
            for _ in range(int(next(fields))):
                body = [next(fields) for _ in range(11)]
                joints = [[next(fields) for _ in range(12)][:3] for _ in range(int(body[10]))]
                bodies.append((frame, body[0], np.array(joints, np.float64).astype(np.float32)))
        return bodies

    def read(path: Path) -> list:
        _, tracks = parse_skeleton(path.read_bytes())
        found = [dict(zip(track.frames.tolist(), track.joints, strict=True)) for track in tracks]
        bodies = [(frame, body) for frame, body, _ in independent(path)]
        index = {body: i for i, body in enumerate(dict.fromkeys(body for _, body in bodies))}
        return [(frame, body, found[index[body]][frame]) for frame, body in bodies]

    check_damaged(path, read, independent, named=False)


@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.fault('`.mat` file with any damage', '-', 'refused, or as SciPy reads it')
def test_mat(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / 'a1_s1_t1_skeleton.mat'
    joints = standing(20, 3).transpose(1, 2, 0).astype(np.float64)
    savemat(path, {'before': np.arange(3), 'd_skel': joints, 'after': 'text'}, do_compression=compress)
    check_damaged(
        path,
        keypoint,
        lambda path: (
            loadmat(path, variable_names=['d_skel'])['d_skel']
            .astype(np.float32)
            .transpose(2, 0, 1)[None, :, ROWS]
        ),
        named=False,
    )


def test_msr_action3d(tmp_path: Path) -> None:
    path = tmp_path / 'a02_s01_e01_skeleton3D.txt'
    write_msr(path, standing(20, 3))
    check_damaged(
        path,
        keypoint,
        lambda path: np.loadtxt(path).reshape(1, -1, 20, 4)[:, :, MSR_ROWS, :3].astype(np.float32),
        named=False,
    )


def test_nw_ucla(tmp_path: Path) -> None:
    path = tmp_path / 'a03_s01_e00_v01.json'
    write_ucla(path, 3, standing(20, 3))
    check_damaged(
        path,
        keypoint,
        lambda path: np.array(json.loads(path.read_bytes())['skeletons'], np.float32)[None],
        named=False,
    )


def test_kinetics(tmp_path: Path) -> None:
    path = tmp_path / 'x.json'
    joints = np.random.default_rng(0).uniform(0.1, 0.9, (4, 18, 3)).round(3)
    data = [kinetics_frame(i + 1, person) for i, person in enumerate(joints)]
    path.write_text(json.dumps({'data': data, 'label': 'yoga', 'label_index': 398}))

    def independent(path: Path) -> np.ndarray:
        frames = json.loads(path.read_bytes())['data']
        first = min(frame['frame_index'] for frame in frames)
        last = min(max(frame['frame_index'] for frame in frames) - first, 299)
        clip = np.zeros((1, last + 1, 18, 3), np.float32)
        for frame in frames:
            for person in frame['skeleton']:
                pose = np.array(person['pose'], np.float64).reshape(18, 2)
                score = np.array(person['score'], np.float64)
                at = frame['frame_index'] - first
                if at < 300:
                    clip[0, at] = np.column_stack([pose.astype(np.float32) - np.float32(0.5), score])
                    clip[0, at, score == 0] = 0
        used = [frame['frame_index'] - first for frame in frames if frame['skeleton']]
        return clip[:, : max(at for at in used if at < 300) + 1]

    check_damaged(path, keypoint, independent, named=False)


@pytest.mark.parametrize('heading', ['', ','.join(f'{axis}{i}' for i in range(5) for axis in 'xyz')])
@pytest.mark.fault('table of numbers with any damage', '-', 'refused, or as `csv` reads it')
def test_csv(tmp_path: Path, heading: str) -> None:
    path = tmp_path / 'x.csv'
    np.savetxt(path, standing(5, 4).reshape(4, -1), '%.4f', delimiter=',', header=heading, comments='')

    def independent(path: Path) -> np.ndarray:
        rows = [row for row in csv.reader(StringIO(path.read_text(), newline='')) if any(map(str.strip, row))]
        numbers = np.array(rows[bool(heading) :], np.float64).astype(np.float32)
        return numbers.reshape(1, len(numbers), 5, -1 if len(numbers) else 3)

    def read(path: Path) -> np.ndarray:
        return read_recording(Recording('x', path), skeleton=star(5)).keypoint

    check_damaged(path, read, independent, named=False)


def test_npy(tmp_path: Path) -> None:
    path = tmp_path / 'x.npy'
    np.save(path, standing(5, 4))
    check_damaged(path, keypoint, lambda path: np.load(path).astype(np.float32)[None], named=False)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Callable) -> None:
    path = tmp_path / 'x.npz'
    save(path, keypoint=standing(5, 2), other=np.arange(3))
    check_damaged(
        path, keypoint, lambda path: np.load(path)['keypoint'].astype(np.float32)[None], named=False
    )


def test_scores(tmp_path: Path) -> None:
    path = tmp_path / 'scores.npz'
    heads = {'fused': np.random.default_rng(0).random((3, 4)), 'fine': np.ones((3, 4))}
    save_scores(LabeledScores(source='', names=('a', 'b', 'c'), labels=np.arange(3), heads=heads), path)

    def read(path: Path) -> dict:
        scores = load_scores(path)
        return {'names': np.array(scores.names), 'labels': scores.labels, **scores.heads}

    check_damaged(path, read, lambda path: dict(np.load(path)), named=True)


def test_label_table(tmp_path: Path) -> None:
    path = tmp_path / 'labels.csv'
    lines = [f'clip{i}.npy,class {i % 3},{"val" if i % 2 else "train"},ann' for i in range(9)]
    path.write_text('\n'.join(['clip,label,split,subject', *lines, '']))

    def independent(path: Path) -> list:
        reader = csv.DictReader(StringIO(path.read_text(encoding='utf-8-sig'), newline=''))
        columns = ('clip', 'label', 'split', 'subject')
        return [tuple((row.get(column) or '').strip() for column in columns) for row in reader]

    def read(path: Path) -> list:
        rows = read_table(path).values()
        return [(str(row.path), row.label, ' '.join(row.splits), row.subject or '') for row in rows]

    check_damaged(path, read, independent, named=True)


def test_class_list(tmp_path: Path) -> None:
    path = tmp_path / 'classes.txt'
    path.write_text('wave\npush a door\nclap\n')
    check_damaged(
        path,
        read_class_names,
        lambda path: [line.strip() for line in path.read_text(encoding='utf-8-sig').rstrip().split('\n')],
        named=True,
    )


def test_layout(tmp_path: Path) -> None:
    path = tmp_path / 'arm.json'
    path.write_text(json.dumps({'name': 'arm', 'joints': ['a', 'b', 'c'], 'bones': [[1, 0], [2, 1]]}))
    np.save(tmp_path / 'x.npy', standing(3, 2))
    labels = tmp_path / 'labels.csv'
    labels.write_text('clip,label,split\nx.npy,0,train\n')
    check_damaged(
        path,
        lambda path: scan(tmp_path, labels, str(path)).meta['layout'],
        lambda path: json.loads(path.read_text(encoding='utf-8-sig')),
        named=True,
    )


def test_labels_of_kinetics(tmp_path: Path) -> None:
    joints = np.ones((18, 3))
    clips = {f'clip{i}': (i, [kinetics_frame(1, joints)]) for i in range(3)}
    write_kinetics(tmp_path, 'val', clips)

    def independent(path: Path) -> dict:
        entries = json.loads(path.read_bytes())
        return {name: entry['label_index'] for name, entry in entries.items() if entry['has_skeleton']}

    check_damaged(
        tmp_path / 'kinetics_val_label.json',
        lambda _: {one.name: one.label for one in kinetics.scan(tmp_path).recordings},
        independent,
        named=True,
    )


def test_list_of_missing_skeletons(tmp_path: Path) -> None:
    path = tmp_path / 'missing.txt'
    path.write_text('Missing:\nS001C002P005R002A008\nS001C002P006R001A008\n')
    for name in ('S001C002P005R002A008', 'S001C002P006R001A008', 'S001C002P006R001A001'):
        write_ntu(tmp_path / f'{name}.skeleton', [])

    def independent(path: Path) -> set:
        text = path.read_text(encoding='utf-8-sig').replace('.skeleton', '')
        lines = {line.strip() for line in text.split('\n')}
        return lines & {'S001C002P005R002A008', 'S001C002P006R001A008', 'S001C002P006R001A001'}

    check_damaged(path, lambda path: set(ntu.scan(tmp_path, 60, path).left_out), independent, named=True)


def test_archive_of_arrays_without_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / 'x.npz')
    with pytest.raises(ValueError, match=r"expected the key 'keypoint' in a .npz file, found \[\]"):
        read_file(tmp_path / 'x.npz')


def test_bytes_after_an_array(tmp_path: Path) -> None:
    buffer = BytesIO()
    np.save(buffer, standing(5, 2))
    (tmp_path / 'x.npy').write_bytes(buffer.getvalue() + b'\0')
    with pytest.raises(ValueError, match='1 bytes after an array'):
        read_file(tmp_path / 'x.npy')


@pytest.mark.parametrize(
    'name', ['meta.json', 'clips.bin', 'keypoint.bin', 'score.bin', 'info.bin', 'crc.bin', 'split-0.npy']
)
@pytest.mark.fault('store with any damage', '-', 'refused, or as it was written')
def test_store(tmp_path: Path, name: str) -> None:
    clips = [
        dict(frame_dir=f'c{i}', label=i, total_frames=3, keypoint=standing(5, 3, i)[None]) for i in range(3)
    ]
    clips[1]['keypoint_score'] = np.ones((1, 3, 5), np.float32)
    written = dict(split=dict(train=['c0', 'c1', 'c2']), annotations=clips, meta=dict(layout='arm'))
    write_store(tmp_path / 'x.store', written)

    def read(path: Path) -> list:
        store = Store(path.parent)
        return [dict(clip) for split in store.splits for clip in store.select(split)]

    check_damaged(tmp_path / 'x.store' / name, read, lambda _: clips, named=False)
