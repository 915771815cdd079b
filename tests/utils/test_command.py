import pytest

from mmdualhead.utils.command import run_main


@pytest.mark.parametrize('error', [ValueError('a\nb'), OSError(28, 'a b'), ImportError('a b')])
def test_what_is_wrong_is_one_line(error):
    def main():
        raise error

    with pytest.raises(SystemExit, match=r'^error: a b$'):
        run_main(main)


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 / 0)
