from tests.faults import PAGE, make_page, marked_tests


def test_the_page_is_what_the_tests_say():
    assert PAGE.read_text(encoding='utf-8') == make_page(), 'python -m tests.faults'
    assert all(len(row) == 4 and all(row) for row in marked_tests())
