from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.buses.delivery import FrameQueue
from bridge.frames import Frame, FrameBatch


def records(*identifiers: int) -> bytes:
    return FrameBatch.of(Frame(id=identifier) for identifier in identifiers).buffer


def ids(buffer: bytes) -> list[int]:
    return [frame.id for frame in FrameBatch(buffer)]


class TestFrameQueue:
    def test_its_reader_is_woken_once_until_it_took_everything(self) -> None:
        queue = FrameQueue()
        assert queue.put(records(1, 2))
        assert not queue.put(records(3))
        assert [queue.take(2)[1], queue.take(2)[1]] == [True, False]
        assert queue.put(records(4))

    def test_the_oldest_are_lost_and_counted(self) -> None:
        queue = FrameQueue(limit=3)
        for identifier in range(5):
            queue.put(records(identifier))
        assert queue.dropped == 2
        assert ids(queue.take(10)[0]) == [2, 3, 4]

    def test_one_chunk_may_be_longer_than_the_queue(self) -> None:
        queue = FrameQueue(limit=3)
        queue.put(records(*range(10)))
        assert queue.dropped == 7
        assert ids(queue.take(10)[0]) == [7, 8, 9]

    def test_clearing_is_no_loss(self) -> None:
        queue = FrameQueue()
        queue.put(records(1))
        queue.clear()
        assert queue.take(1) == (b"", False)
        assert queue.dropped == 0

    @given(st.lists(st.one_of(st.integers(1, 9), st.integers(-9, -1)), max_size=30), st.integers(1, 12))
    def test_it_is_a_bounded_list(self, steps: list[int], limit: int) -> None:
        """A positive step puts so many frames, a negative one takes so many."""
        queue, model, dropped, number = FrameQueue(limit), [], 0, 0
        for step in steps:
            if step > 0:
                new = list(range(number, number + step))
                number += step
                assert queue.put(records(*new)) == (not model)
                model += new
                dropped += max(0, len(model) - limit)
                model = model[-limit:]
            else:
                taken, more = queue.take(-step)
                assert ids(taken) == model[:-step]
                model = model[-step:]
                assert more == bool(model)
            assert queue.dropped == dropped
