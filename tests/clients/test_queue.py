"""The output queue: whole chunks in order, bounded, and an account of what was dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.clients.queue import OutputQueue

LIMIT = 100
RESPONSES = 40


def taken(queue: OutputQueue, size: int) -> tuple[bytes, int]:
    pieces, records = queue.take(size)
    assert sum(map(len, pieces)) <= size
    return b"".join(pieces), records


def test_chunks_come_out_in_order_and_are_not_copied():
    queue = OutputQueue(LIMIT)
    first, second = b"a" * 10, b"b" * 10
    queue.push(first, 1)
    queue.push(second, 2)
    assert queue.size == 20
    pieces, records = queue.take(1000)
    assert pieces[0] is first
    assert pieces[1] is second
    assert records == 3
    assert not queue
    assert queue.size == 0
    assert queue.take(1000) == ([], 0)


def test_the_oldest_data_goes_first_and_is_counted():
    queue = OutputQueue(LIMIT)
    for number in range(15):
        queue.push(bytes([number]) * 10, 2)
    assert queue.size == LIMIT
    assert (queue.chunks_dropped, queue.records_dropped, queue.bytes_dropped) == (5, 10, 50)
    data, records = taken(queue, 1000)
    assert data[0] == 5
    assert records == 20


def test_a_chunk_partly_taken_is_finished_whatever_comes():
    queue = OutputQueue(LIMIT)
    queue.push(b"x" * 90, 9)
    assert taken(queue, 50) == (b"x" * 50, 0)
    for _ in range(10):
        queue.push(b"y" * 90, 9)
    assert taken(queue, 20) == (b"x" * 20, 0)
    assert taken(queue, 20) == (b"x" * 20, 9)
    assert taken(queue, 90) == (b"y" * 90, 9)
    assert queue.chunks_dropped == 9


def test_a_chunk_that_fits_is_not_cut():
    queue = OutputQueue(LIMIT)
    queue.push(b"x" * 30, 1)
    queue.push(b"y" * 30, 1)
    assert taken(queue, 50) == (b"x" * 30, 1)
    assert taken(queue, 50) == (b"y" * 30, 1)


def test_the_newest_chunk_is_kept_even_if_it_alone_is_too_large():
    queue = OutputQueue(LIMIT)
    queue.push(b"x" * 30, 1)
    queue.push(b"y" * 300, 10)
    assert queue.size == 300
    assert queue.records_dropped == 1
    assert taken(queue, 1000) == (b"y" * 300, 10)


def test_responses_keep_their_place_and_outlive_the_data_before_them():
    queue = OutputQueue(LIMIT, RESPONSES)
    queue.push(b"a" * 60, 1)
    assert queue.push_response(b"1")
    queue.push(b"b" * 60, 1)
    assert queue.push_response(b"2")
    assert taken(queue, 1000) == (b"1" + b"b" * 60 + b"2", 1)


def test_responses_have_a_bound_of_their_own():
    queue = OutputQueue(LIMIT, RESPONSES)
    assert queue.push_response(b"r" * RESPONSES)
    assert not queue.push_response(b"r")
    assert queue.size == RESPONSES
    taken(queue, RESPONSES)
    assert queue.push_response(b"r")


def test_what_is_cleared_does_not_count_as_dropped():
    queue = OutputQueue(LIMIT)
    queue.push(b"x" * 90, 1)
    taken(queue, 10)
    queue.push(b"x", 1)
    queue.push_response(b"r")
    queue.clear()
    assert not queue
    assert queue.size == 0
    assert queue.records_dropped == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.integers(0, 150)),
        st.tuples(st.just("response"), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 120)),
    ),
    max_size=200,
)


@given(STEPS)
def test_any_history_gives_whole_chunks_in_order_and_a_true_account(steps):
    queue = OutputQueue(LIMIT, RESPONSES)
    pushed: list[tuple[str, bytes, int]] = []
    out = bytearray()
    records_out = largest = 0
    for number, (kind, size) in enumerate(steps):
        # Each chunk says its number, its kind and its length, so that the output can be taken apart again.
        body = b"%d %s %d|" % (number, kind.encode(), size) + b"." * size
        if kind == "data" and size:
            queue.push(body, size)
            pushed.append((kind, body, size))
            largest = max(largest, len(body))
        elif kind == "data":
            queue.push(b"", 0)
        elif kind == "response" and queue.push_response(body):
            pushed.append((kind, body, 0))
        elif kind == "take":
            data, records = taken(queue, size)
            out += data
            records_out += records
        assert queue.size <= max(LIMIT, 2 * largest) + RESPONSES + largest
        assert bool(queue) == (queue.size > 0)
    while queue:
        data, records = taken(queue, 7)
        assert data
        out += data
        records_out += records

    rest = bytes(out)
    lost: list[tuple[str, bytes, int]] = []
    for entry in pushed:
        if rest.startswith(entry[1]):
            rest = rest.removeprefix(entry[1])
        else:
            lost.append(entry)
    assert rest == b""
    assert all(kind == "data" for kind, _, _ in lost)
    assert queue.chunks_dropped == len(lost)
    assert queue.bytes_dropped == sum(len(body) for _, body, _ in lost)
    assert queue.records_dropped == sum(records for _, _, records in lost)
    assert records_out + queue.records_dropped == sum(records for _, _, records in pushed)
