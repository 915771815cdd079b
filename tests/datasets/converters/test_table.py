"""Tables of any tool are read where that is certain, and refused with line and column where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmdualhead.apis.readers import read_file
from mmdualhead.datasets.converters import Recording
from mmdualhead.datasets.converters.custom import read_recording
from mmdualhead.datasets.converters.table import joint_columns, parse_table

from .raw_files import star

NUMBERS = np.random.default_rng(0).normal(size=(3, 6)).round(4)


def table(
    numbers: np.ndarray = NUMBERS,
    heading: str = '',
    delimiter: str = ',',
    decimal: str = '.',
    end: str = '\n',
) -> str:
    rows = [delimiter.join(map(str, row)).replace('.', decimal) for row in numbers.tolist()]
    return end.join([heading] * bool(heading) + rows) + end


@pytest.mark.parametrize(
    'text',
    [
        table(),
        table(heading='x0,y0,z0,x1,y1,z1'),
        table(heading='0,1,2,3,4,5'),
        table(heading='"a","b","c","d","e","f"'),
        table(heading='a;b;c;d;e;f', delimiter=';', decimal=','),
        table(delimiter=';', decimal=','),
        table(delimiter=';'),
        table(delimiter='\t', decimal=','),
        table(heading='a\tb\tc\td\te\tf', delimiter='\t'),
        table(delimiter='  '),
        table(delimiter=', '),
        table(end='\r\n'),
        table(end='\r'),
        '# recorded with Kinect, 30 Hz\n#\n' + table(heading='a,b,c,d,e,f') + '\n\n',
        table(np.column_stack([np.arange(3), NUMBERS]), heading=',0,1,2,3,4,5').replace('.0,', ','),
    ],
)
def test_what_tools_write(text: str) -> None:
    np.testing.assert_array_equal(parse_table(text).numbers, NUMBERS)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / 'x.csv').write_text(table(heading='ä,b,c,d,e,f'), encoding=encoding)
    clip = read_recording(Recording('x', tmp_path / 'x.csv'), skeleton=star(2))
    np.testing.assert_array_equal(clip.keypoint[0].reshape(3, 6), NUMBERS.astype(np.float32))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (table().replace(str(NUMBERS[0, 0]), 'O.1257'), "line 1, column 1: 'O.1257' is not a number"),
        (table(heading='0_0,0_1,0_2,0_3,0_4,0_5'), "line 1, column 1: '0_0' is not a number"),
        (
            '1,2,3,4,5,6,7,8,9,10\n' + ','.join('1234567890'),
            r'line 1: it counts 1, 2, \.\.\.',
        ),
        (table(heading='x0,y0,z0,3,y1,z1'), "line 1, column 1: 'x0' is not a number"),
        ('a,b\n1,2\n1,x\n', "line 3, column 2: 'x' is not a number"),
        ('a,b\n1,2\n1,٣\n', "line 3, column 2: '٣' is not a number"),
        ('a,b\n1,2\n1,2_0\n', "line 3, column 2: '2_0' is not a number"),
        ('a,b\n1,2\n1,inf\n', "line 3, column 2: 'inf' is not a number"),
        ('a;b\n1,5;2.5\n', "line 2, column 1: '1,5' is not a number"),
        ('1,2,4\n\n1,2\n', 'line 3: 2 columns, while other lines have 3'),
        ('#1.5,2.5\n1.5,2.5\n', 'line 1: a comment that contains numbers'),
        ('1.5,2.5\n#1.5,2.5\n', "line 2, column 1: '#1.5' is not a number"),
        ('1,2,4\n"1,2,4\n', r'not a table \(unexpected end of data\)'),
        (',a,b\n0,1,2\n2,1,2\n', 'column 1 has no name, and does not count the lines'),
    ],
)
@pytest.mark.fault(
    'table whose first number is damaged, whose heading looks like numbers, or with words among numbers',
    '-',
    'refused with line and column',
)
def test_what_is_not_certain_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_table(text)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ('x0,y0,z0,x1,y1,z1', ('x', 'y', 'z')),
        ('a_x,a_y,a_z,c_x,c_y,c_z', ('x', 'y', 'z')),
        ('hipX,hipY,kneeX,kneeY', ('x', 'y')),
        ('nose_x,nose_y,nose_score', ('x', 'y', 'score')),
        ('x0,y0,z0,v0', ('x', 'y', 'z', 'score')),
        ('x0,x1,x2,x3', None),
        ('0,1,2,3', None),
        ('head,head.1,neck,neck.1', None),
    ],
)
def test_what_names_say_of_columns(names: str, expected: tuple[str, ...] | None) -> None:
    assert joint_columns(names.split(',')) == expected


@pytest.mark.parametrize(
    ('names', 'column'),
    [('x0,x1,y0,y1,z0,z1', "column 3 is 'y0'"), ('frame,x0,y0', "column 1 is 'frame'"), ('y0,x0', "'y0'")],
)
@pytest.mark.fault('table whose heading says another order than joint after joint', '-', 'refused')
def test_another_order_is_refused(names: str, column: str) -> None:
    with pytest.raises(ValueError, match=rf'{column}.*: expected x, y\(, z\)\(, score\) of each joint'):
        joint_columns(names.split(','))


class TestJoints:
    def write(self, path: Path, text: str) -> Path:
        (path / 'x.csv').write_text(text)
        return path / 'x.csv'

    def test_confidences_are_not_coordinates(self, tmp_path: Path) -> None:
        numbers = np.arange(16.0).reshape(2, 8)
        path = self.write(tmp_path, table(numbers, 'x0,y0,z0,visibility0,x1,y1,z1,visibility1'))
        found = read_file(path)
        np.testing.assert_array_equal(found.keypoint[0], numbers.reshape(2, 2, 4)[..., :3])
        np.testing.assert_array_equal(found.keypoint_score[0], numbers.reshape(2, 2, 4)[..., 3])
        clip = read_recording(Recording('x', path), skeleton=star(2))
        assert clip.counts['confidences of joints left out'] == 4

    @pytest.mark.parametrize('missing', ['', 'nan', 'NaN'])
    def test_a_missing_joint_is_zero(self, tmp_path: Path, missing: str) -> None:
        path = self.write(tmp_path, f'1,2,3,4\n{missing},{missing},5,6\n')
        clip = read_recording(Recording('x', path), skeleton=star(2))
        np.testing.assert_array_equal(clip.keypoint, [[[[1, 2], [3, 4]], [[0, 0], [5, 6]]]])
        assert clip.counts == {'missing joints set to zero': 1}

    def test_half_a_joint_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, '1,2,3,4\n1,,5,6\n')
        with pytest.raises(ValueError, match='frame 1, joint 0: some of its numbers are missing'):
            read_recording(Recording('x', path), skeleton=star(2))

    @pytest.mark.parametrize(('heading', 'regroup'), [('', True), ('a_x,a_y,a_z,b_x,b_y,b_z', False)])
    def test_joints_of_an_unknown_layout(self, tmp_path: Path, heading: str, regroup: bool) -> None:
        found = read_file(self.write(tmp_path, table(heading=heading)))
        assert found.keypoint.shape == (1, 3, 2, 3)
        assert found.regroup == regroup
