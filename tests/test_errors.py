import pytest

from mmdualhead.errors import Finding, Level, UserError, report


def test_errors_are_refused_together_and_nothing_is_warned_of():
    found = [
        Finding(Level.WARNING, 'a.pkl', 'small'),
        Finding(Level.ERROR, 'a.pkl, clip x', 'label: 7, expected 0..5'),
        Finding(Level.ERROR, '', 'no clips'),
    ]
    warned = []
    with pytest.raises(UserError) as refused:
        report(found, warned.append)
    assert str(refused.value) == '2 errors:\n  a.pkl, clip x: label: 7, expected 0..5\n  no clips'
    assert not warned
    with pytest.raises(UserError, match=r'^no clips$'):
        report(found[2:], warned.append)


def test_warnings_and_notes_are_passed_on():
    warned = []
    found = [Finding(Level.WARNING, 'here', 'this'), Finding(Level.NOTE, '', 'that')]
    report(iter(found), warned.append)
    assert warned == ['here: this', 'that']
