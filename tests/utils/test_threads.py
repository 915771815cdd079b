"""Order, errors and the end of work in threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from mmdualhead.utils.threads import ahead, side_by_side


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class TestAhead:
    def test_items_keep_their_order(self):
        assert list(ahead(range(9))) == list(range(9))
        assert list(ahead([])) == []

    def test_the_next_one_is_made_meanwhile_and_no_more(self):
        made = []
        source = (made.append(i) or i for i in range(9))
        items = ahead(source)
        assert next(items) == 0
        time.sleep(0.1)
        assert made == [0, 1]
        items.close()

    def test_an_error_comes_in_the_place_of_its_item(self):
        def items():
            yield 1
            raise ValueError('recording 2')

        found = ahead(items())
        assert next(found) == 1
        with pytest.raises(ValueError, match='recording 2'):
            next(found)


class TestSideBySide:
    @pytest.mark.parametrize('parts', [1, 2, 3])
    def test_parts_come_back_in_order(self, parts):
        rows = torch.arange(7)
        assert torch.cat(side_by_side(lambda part: part * 2, rows, parts)).equal(2 * rows)

    def test_threads_are_shared_and_given_back(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(4)
            inside = side_by_side(lambda _: torch.get_num_threads(), torch.arange(2), 2)
            new = []
            thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            assert (inside, new, torch.get_num_threads()) == ([2, 2], [4], 4)
        finally:
            torch.set_num_threads(before)

    def test_an_error_is_raised(self):
        def fail(part):
            raise ValueError(f'{len(part)} rows')

        with pytest.raises(ValueError, match='2 rows'):
            side_by_side(fail, torch.arange(4), 2)
