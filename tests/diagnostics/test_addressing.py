"""Which ids answer which."""

import pytest

from bridge.diagnostics.addressing import (
    FUNCTIONAL_EXTENDED_ID,
    FUNCTIONAL_ID,
    ChannelAddress,
    channels,
    physical_id,
    reported_id,
    response_ids,
)
from bridge.diagnostics.errors import RequestRefused
from bridge.errors import ClientError


@pytest.mark.parametrize(
    ("request_id", "response_id"),
    [
        (0x7E0, 0x7E8),
        (0x7E7, 0x7EF),
        (0, 8),
        (0x7F7, 0x7FF),
        (0x18DA10F1, 0x18DAF110),
        (0x18DA00F1, 0x18DAF100),
        (0x18DAFFF1, 0x18DAF1FF),
        (0x18DB33F0, 0x18DB33F8),
        (0x18DA10FA, 0x18DAFA10),  # another tester
        (0x14DA10F1, 0x14DAF110),  # another priority
        (0x18DAF110, 0x18DA10F1),
        (0x19DA10F1, 0x19DA10F9),  # another data page: not what ISO 15765-2 means
        (0x18DC10F1, 0x18DC10F9),
        (0x800, 0x808),
        (0x1FFFFFF7, 0x1FFFFFFF),
    ],
)
def test_physical(request_id, response_id):
    assert response_ids(request_id) == (response_id,)
    assert reported_id(request_id, response_id) == request_id
    assert channels(2, request_id) == (ChannelAddress(2, request_id, response_id, request_id > 0x7FF),)


@pytest.mark.parametrize("request_id", [-1, 0x20000000, 0x7F8, 0x7FF, 0x1FFFFFF8, 0x18DAF1F1, 0x14DA1010])
def test_impossible(request_id):
    with pytest.raises(RequestRefused) as error:
        response_ids(request_id)
    assert isinstance(error.value, ClientError)
    assert "\n" not in str(error.value)


def test_functional():
    assert response_ids(FUNCTIONAL_ID) == tuple(range(0x7E8, 0x7F0))
    first, *receivers = channels(1, FUNCTIONAL_ID)
    assert first == ChannelAddress(1, FUNCTIONAL_ID, None, False)
    assert [(each.request_id, each.response_id) for each in receivers] == [(0x7E0 + n, 0x7E8 + n) for n in range(8)]
    assert reported_id(FUNCTIONAL_ID, 0x7EA) == 0x7EA


def test_functional_extended():
    first, *receivers = channels(1, FUNCTIONAL_EXTENDED_ID)
    assert first == ChannelAddress(1, FUNCTIONAL_EXTENDED_ID, None, True)
    assert [each.response_id for each in receivers] == list(range(0x18DAF100, 0x18DAF120))
    assert {0x18DAF110, 0x18DAF118, 0x18DAF10E} <= {each.response_id for each in receivers}
    assert reported_id(FUNCTIONAL_EXTENDED_ID, 0x18DAF118) == 0x18DAF118


@pytest.mark.parametrize("functional", [FUNCTIONAL_ID, FUNCTIONAL_EXTENDED_ID])
def test_functional_shares_the_channels_of_physical_requests(functional):
    for channel in channels(1, functional)[1:]:
        assert physical_id(channel.response_id) == channel.request_id
        assert channels(1, channel.request_id) == (channel,)
