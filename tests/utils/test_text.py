from mmdualhead.utils.text import and_more, clips_named


def test_the_first_names_and_how_many_more():
    assert and_more('abc', shown=3) == 'a, b, c'
    assert and_more(range(7)) == '0, 1, 2, 3, 4 and 2 more'
    assert clips_named(['a']) == '1 clip: a'
    assert clips_named(iter('abcdefg')) == '7 clips: a, b, c, d, e and 2 more'
