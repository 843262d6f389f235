"""One client's rules: direct while the peer reads, queued and whole when it does not."""

from __future__ import annotations

import asyncio
import logging

import bridge.clients.client
from bridge.limits import LOG_ONCE_PERIOD, TRANSPORT_BUFFER_LIMIT
from bridge.seldom import SeldomLog


def test_what_a_reading_peer_gets_is_the_very_object_and_is_counted(new_client):
    client, transport = new_client()
    client.send_data(b"abc", 2)
    client.send_response(b"r")
    assert transport.read == b"abcr"
    assert (client.bytes_sent, client.records_sent, client.responses_sent) == (4, 2, 1)
    assert client.waiting == 0
    assert not client.backlogged


def test_a_paused_transport_gets_nothing_more_until_it_resumes(new_client):
    client, transport = new_client(room=0)
    client.send_data(b"x" * 101, 1)
    client.send_data(b"y" * 50, 1)
    client.send_response(b"r")
    client.send_data(b"z" * 50, 1)
    assert transport.writes == [b"x" * 101]
    assert client.backlogged
    assert client.waiting == 202
    transport.take(101)
    assert transport.writes[1:] == [b"y" * 50 + b"r" + b"z" * 50]  # one write for all that waited
    assert not client.backlogged
    assert client.records_sent == 3


def test_a_chunk_larger_than_the_transports_share_goes_in_parts(new_client):
    client, transport = new_client(room=0, limit=10)
    large = bytes(range(256)) * 1024
    client.send_data(large, 10)
    assert len(transport.writes[0]) == TRANSPORT_BUFFER_LIMIT
    assert client.records_sent == 0
    client.send_data(b"next", 1)
    transport.take()
    assert bytes(transport.read) == large + b"next"
    assert client.records_sent == 11
    assert client.records_dropped == 0


def test_losing_is_logged_once_until_it_reads_again(new_client, caplog, clock, monkeypatch):
    monkeypatch.setattr(bridge.clients.client, "_log_losses", SeldomLog(logging.getLogger(), clock))
    client, transport = new_client(room=0)
    for times in (1, 2):
        for _ in range(50):
            client.send_data(b"x" * 101, 1)
            clock.advance(LOG_ONCE_PERIOD)
        assert caplog.text.count("does not read fast enough") == times
        transport.take(5000)
        transport.room = 0
    assert client.records_dropped + client.records_sent == 100


async def test_close_sends_what_waits_and_nothing_new(new_client):
    client, transport = new_client(room=0)
    client.send_data(b"x" * 101, 1)
    client.send_data(b"y", 1)
    client.close()
    assert client.closing
    assert not transport.closed
    client.send_data(b"late", 1)
    client.send_response(b"late")
    transport.take()
    await asyncio.sleep(0)  # it closes in the loop's next turn
    assert transport.closed
    assert not transport.aborted
    assert bytes(transport.read) == b"x" * 101 + b"y"


def test_abort_forgets_what_waits(new_client):
    client, transport = new_client(room=0)
    client.send_data(b"x" * 101, 1)
    client.send_data(b"y", 1)
    client.abort()
    assert transport.aborted
    assert client.waiting == 0


def test_unread_answers_beyond_their_bound_cut_the_client_off(new_client):
    client, transport = new_client(room=0)
    client.send_data(b"x" * 101, 1)
    for _ in range(10):
        client.send_response(b"r" * 10)
        assert not transport.aborted
    client.send_response(b"r")
    assert transport.aborted


def test_progress_is_what_the_peer_took_since_the_last_look(new_client):
    client, transport = new_client(room=0)
    client.send_data(b"x" * 101, 1)
    assert not client.progressed(1.0)
    transport.take(10)
    assert client.progressed(2.0)
    assert not client.progressed(3.0)
    assert client.last_progress == 2.0


def test_a_connection_that_the_transport_gave_up_gets_nothing_more(new_client):
    """After a reset asyncio logs each write to it, until it tells that the connection is lost."""
    client, transport = new_client()
    transport.closed = True
    client.send_data(b"x", 1)
    client.send_response(b"y")
    assert transport.writes == []
    assert (client.bytes_sent, client.records_sent, client.responses_sent) == (0, 0, 0)
