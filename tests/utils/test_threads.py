"""Order, errors and the end of work in threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from mmdualhead.utils.threads import ahead, workers


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


class TestWorkers:
    def test_threads_are_given_back(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(4)
            new = []
            with workers(2, 1) as pool:
                inside = list(pool.map(lambda _: torch.get_num_threads(), range(8)))
                thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
                thread.start()
                thread.join()
            assert (set(inside), new, torch.get_num_threads()) == ({1}, [4], 4)
        finally:
            torch.set_num_threads(before)

    def test_an_error_is_raised(self):
        with pytest.raises(ZeroDivisionError), workers(2, 1) as pool:
            pool.submit(lambda: 1 / 0).result()
