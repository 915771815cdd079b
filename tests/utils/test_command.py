import os
import subprocess
import sys

import pytest
import torch

from mmdualhead.errors import UserError
from mmdualhead.utils.command import given, one_line_errors, original, run_main


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['program'])


def failing(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize('error', [ValueError('a\nb'), OSError(28, 'a b'), ImportError('a b')])
def test_what_is_wrong_is_one_line(error):
    with pytest.raises(SystemExit, match=r'^error: a b$'):
        run_main(failing(error))


@pytest.mark.parametrize(
    'error', [ZeroDivisionError(), RuntimeError('a b'), KeyError('a'), AttributeError('a')]
)
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)):
        run_main(failing(error))
    with pytest.raises(type(error)), one_line_errors():
        raise error


def test_a_value_error_of_others_is_a_bug_outside_our_programs():
    with pytest.raises(ValueError, match='broadcast'), one_line_errors():
        raise ValueError('could not be broadcast')
    with pytest.raises(SystemExit, match=r'^error: a$'), one_line_errors():
        raise UserError('a')


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '),
        RuntimeError('DataLoader worker (pid(s) 7) exited unexpectedly'),
        RuntimeError('unable to open shared memory object'),
        AssertionError('Torch not compiled with CUDA enabled'),
        torch.OutOfMemoryError('CUDA out of memory.'),
        OSError(38, 'Function not implemented'),
        MemoryError(),
    ],
)
def test_faults_of_the_machine_say_what_was_asked_for(error, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/bin/mmdualhead', 'train', 'a.py', '--work-dir', 'b c'])
    with (
        pytest.raises(SystemExit, match=r"^error: .+ \(in: mmdualhead train a\.py --work-dir 'b c'\)$"),
        one_line_errors(),
    ):
        raise error


def test_an_error_of_a_worker_is_its_last_line():
    text = 'Caught FileNotFoundError in worker.\nOriginal Traceback (most recent call last):\n'
    with pytest.raises(SystemExit, match=r'^error: No such file: /a$'), one_line_errors():
        raise FileNotFoundError(f'{text}  File "x.py"\nFileNotFoundError: [Errno 2] No such file: /a\n')


def test_escapes_in_names_do_not_reach_the_terminal():
    with pytest.raises(SystemExit, match=r'^error: a\\x1b\[2Jb\nc$'), one_line_errors():
        raise UserError('a\x1b[2Jb\nc')


def test_the_original_of_an_error_is_not_what_was_meant_to_be_hidden():
    def refuse(path, hide):
        try:
            raise ValueError('it asks for os.system')
        except ValueError as error:
            if hide:
                raise ValueError(f'{path} was refused: {error}') from None
            raise ValueError(f'class `A` in b.py: {error}')  # noqa: B904

    for hide, message in (
        (True, 'a.pkl was refused: it asks for os.system'),
        (False, 'it asks for os.system'),
    ):
        with pytest.raises(ValueError, match=r'os\.system') as caught:
            refuse('a.pkl', hide)
        assert str(original(caught.value)) == message


@pytest.mark.fault('`predict --jsonl - | head -1`', '-', 'ends quietly, with status 141')
def test_a_reader_that_has_enough_ends_the_program_quietly():
    """As in ``mmdualhead predict clips/ --jsonl - | head -1``: a pipe drops a long line."""
    program = (
        "from mmdualhead.utils.command import run_main; run_main(lambda: print('x' * 100_000, flush=True))"
    )
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes) as pipe:
        done = subprocess.run([sys.executable, '-c', program], stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (141, '')


@pytest.mark.parametrize(
    ('arguments', 'value'),
    [
        (['--resume', 'x.pth'], 'x.pth'),
        (['--resume=x.pth'], 'x.pth'),
        (['--resume', '--amp'], ''),
        (['--resume'], ''),
        (['--resumed', 'x.pth'], None),
    ],
)
def test_the_value_of_an_option(monkeypatch, arguments, value):
    monkeypatch.setattr(sys, 'argv', ['train', 'config.py', *arguments])
    assert given('--resume') == value
