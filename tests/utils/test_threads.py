"""Order, errors and the end of work in threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from mmdualhead.utils import threads
from mmdualhead.utils.threads import ahead, idle_cores, only_idle_cores


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


class TestOnlyIdleCores:
    @pytest.fixture
    def machine(self, monkeypatch, tmp_path):
        """A machine of four cores, on which a number of other threads run; PyTorch has four threads."""

        def of(others: str):
            (tmp_path / 'tasks/1').mkdir(parents=True, exist_ok=True)
            (tmp_path / 'tasks/1/stat').write_text('1 (a ) S b) R 1 2')
            (tmp_path / 'tasks/2').mkdir(exist_ok=True)
            (tmp_path / 'tasks/2/stat').write_text('2 (c) S 1 2')
            (tmp_path / 'loadavg').write_text(others)

        monkeypatch.setattr(threads.os, 'cpu_count', lambda: 4)
        monkeypatch.setattr(threads, 'LOADAVG', tmp_path / 'loadavg')
        monkeypatch.setattr(threads, 'TASKS', tmp_path / 'tasks')
        before = torch.get_num_threads()
        torch.set_num_threads(4)
        yield of
        torch.set_num_threads(before)

    @pytest.mark.parametrize(
        ('loadavg', 'expected'),
        [
            ('0.1 0.2 0.3 1/99 7', 4),
            ('0.1 0.2 0.3 2/99 7', 3),
            ('0.1 0.2 0.3 4/99 7', 1),
            ('0.1 0.2 0.3 9/99 7', 1),
            ('0.1 0.2 0.3 0/0 7', 4),
            ('', 4),
            ('a b c d', 4),
        ],
    )
    def test_other_programs_keep_their_cores(self, machine, loadavg, expected):
        machine(loadavg)
        with only_idle_cores():
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 4

    def test_fewer_threads_than_idle_cores_are_kept(self, machine):
        machine('0.1 0.2 0.3 2/99 7')
        torch.set_num_threads(2)
        with only_idle_cores():
            assert torch.get_num_threads() == 2

    def test_threads_are_given_back_after_an_error(self, machine):
        machine('0.1 0.2 0.3 4/99 7')
        with pytest.raises(ZeroDivisionError), only_idle_cores():
            raise ZeroDivisionError
        assert torch.get_num_threads() == 4

    def test_systems_without_proc_have_all_cores(self, machine):
        machine('0.1 0.2 0.3 4/99 7')
        threads.LOADAVG.unlink()
        assert idle_cores() == 4

    @pytest.mark.skipif(not threads.LOADAVG.exists(), reason='needs /proc')
    def test_of_this_machine(self):
        assert 1 <= idle_cores() <= threads.os.cpu_count()
