from mmdualhead.utils.text import and_more, clips_named, printable, printable_lines, with_name


def test_the_first_names_and_how_many_more():
    assert and_more('abc', shown=3) == 'a, b, c'
    assert and_more(range(7)) == '0, 1, 2, 3, 4 and 2 more'
    assert clips_named(['a']) == '1 clip: a'
    assert clips_named(iter('abcdefg')) == '7 clips: a, b, c, d, e and 2 more'


def test_nothing_controls_a_terminal():
    assert printable('é 日本 \u3000a\xa0b') == 'é 日本 \u3000a\xa0b'
    assert printable('\x1b[2J\r\n\x07\x9b\u202e\udcff') == r'\x1b[2J\r\n\x07\x9b\u202e\udcff'
    assert printable_lines('a\x1b\n\tb\r') == 'a\\x1b\n\tb\\r'
    assert and_more(['\x1b[2J']) == r'\x1b[2J'


def test_a_name_is_not_said_twice():
    assert with_name('/x/a.npy', '/x/a.npy: damaged') == '/x/a.npy: damaged'
    assert with_name('/x/a.npy', "No such file: '/x/a.npy'") == "No such file: '/x/a.npy'"
    assert with_name('a', 'a number is missing') == 'a: a number is missing'
