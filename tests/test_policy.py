"""Every kind of write against every kind of grant and bus."""

import itertools

import pytest

from bridge.errors import ConfigurationError
from bridge.policy import (
    GRANTS,
    READING_SERVICES,
    BusRules,
    Write,
    WriteRefusedError,
    check_channel,
    check_diagnostic,
    check_payload,
    check_raw,
    check_signal,
    default_grants,
    describe_grants,
    is_diagnostic_id,
    muted_reason,
    parse_grants,
)

OPEN = BusRules(1, raw_writable=True)
UNDESCRIBED = BusRules(1, raw_writable=None)
CLOSED = BusRules(1, raw_writable=False)
MUTED = BusRules(1, raw_writable=True, muted=True)
ENGINE = 0x7E0


def allowed(check, *arguments, **options) -> bool:
    try:
        check(*arguments, **options)
    except WriteRefusedError as refusal:
        assert str(refusal) and "\n" not in str(refusal)
        return False
    return True


@pytest.mark.parametrize(("text", "grants"), GRANTS.items())
def test_each_word_is_parsed_and_described(text, grants):
    assert parse_grants(text) == grants
    assert parse_grants(describe_grants(grants)) == grants


def test_every_set_of_grants_has_a_description():
    for bits in range(Write.ALL.value + 1):
        grants = Write(bits)
        if Write.CHANGE_DIAGNOSTIC in grants and Write.READ_DIAGNOSTIC not in grants:
            continue  # no word gives the right to change without the right to read
        assert parse_grants(describe_grants(grants)) == grants


def test_words_join_with_commas():
    assert parse_grants("signals, read-diagnostics") == Write.SIGNAL | Write.READ_DIAGNOSTIC


@pytest.mark.parametrize("text", ["", "everything", "raw,", "ALL"])
def test_another_word_is_an_error_that_lists_the_words(text):
    with pytest.raises(ConfigurationError, match="read-diagnostics"):
        parse_grants(text)


def test_the_default_is_all_only_where_no_bus_is_real():
    assert default_grants([True, True]) == Write.ALL
    assert default_grants([True, False]) == Write.READ_DIAGNOSTIC


@pytest.mark.parametrize("grants", [Write(bits) for bits in range(Write.ALL.value + 1)])
@pytest.mark.parametrize("bus", [OPEN, UNDESCRIBED, CLOSED])
def test_services_need_their_own_grant_and_a_bus_that_takes_them(grants, bus):
    for service in range(0x100):
        kind = Write.READ_DIAGNOSTIC if service in READING_SERVICES else Write.CHANGE_DIAGNOSTIC
        expected = kind in grants and bus.raw_writable is not False
        assert allowed(check_diagnostic, grants, bus, ENGINE, False, service) == expected


def test_the_reading_services_are_these():
    assert {*range(1, 11), 0x19, 0x22, 0x3E} == READING_SERVICES


def test_a_request_to_an_id_without_diagnostics_is_as_good_as_a_raw_frame():
    assert not allowed(check_diagnostic, Write.READ_DIAGNOSTIC, OPEN, 0x0C0, False, 0x22)
    assert allowed(check_diagnostic, parse_grants("diagnostics"), OPEN, 0x0C0, False, 0x22)
    known = BusRules(1, raw_writable=True, diagnostic_ids=frozenset({0x241}))
    assert allowed(check_diagnostic, Write.READ_DIAGNOSTIC, known, 0x241, False, 0x22)


@pytest.mark.parametrize("grants", [Write(bits) for bits in range(Write.ALL.value + 1)])
def test_signals_need_their_grant_and_to_be_writable(grants):
    for bus in (OPEN, UNDESCRIBED, CLOSED):
        assert allowed(check_signal, grants, bus, "lights", writable=True) == (Write.SIGNAL in grants)
        assert not allowed(check_signal, grants, bus, "lights", writable=False)
        assert allowed(check_signal, grants, bus, "lights", writable=False, forced=True) == (Write.SIGNAL in grants)


@pytest.mark.parametrize("raw_writable", [True, None, False])
def test_nothing_is_written_on_a_muted_bus(raw_writable):
    bus = BusRules(1, raw_writable, muted=True)
    for check, arguments, options in (
        (check_signal, ("lights",), {"writable": True}),
        (check_signal, ("lights",), {"writable": False, "forced": True}),
        (check_diagnostic, (ENGINE, False, 0x22), {}),
        (check_diagnostic, (0x123, False, 0x2E), {}),
        (check_channel, (ENGINE, False), {}),
        (check_payload, (ENGINE, False, b"\x22\xf1\x90"), {}),
        (check_raw, (0x123, False, b"\0"), {}),
    ):
        with pytest.raises(WriteRefusedError) as refusal:
            check(Write.ALL, bus, *arguments, **options)
        assert str(refusal.value) == "bus 1 is in use by an openOBD session, which has muted other testers"
        assert str(refusal.value) == muted_reason(1)


@pytest.mark.parametrize("words", ["none", "signals,raw", "read-diagnostics", "diagnostics", "all"])
@pytest.mark.parametrize("bus", [OPEN, UNDESCRIBED, CLOSED, MUTED])
@pytest.mark.parametrize(("identifier", "address"), [(ENGINE, None), (0x726, 0x40)])
def test_payloads_of_a_channel_are_judged_by_their_service(words, bus, identifier, address):
    """0x726 is where makers put ECUs that may have either addressing."""
    grants = parse_grants(words)
    takes = bus.raw_writable is not False and not bus.muted
    assert allowed(check_channel, grants, bus, identifier, False, address=address) == (
        takes and Write.READ_DIAGNOSTIC in grants
    )
    for service in range(0x100):
        kind = Write.READ_DIAGNOSTIC if service in READING_SERVICES else Write.CHANGE_DIAGNOSTIC
        payload = bytes((service, 0x2E, 0x10))
        assert allowed(check_payload, grants, bus, identifier, False, payload, address=address) == (
            takes and kind in grants
        )
    assert not allowed(check_payload, grants, bus, identifier, False, b"", address=address)


@pytest.mark.parametrize("address", [0x02, 0x12, 0x40, 0xF1])
@pytest.mark.parametrize(
    ("identifier", "extended", "normal"),
    [
        (0x7DF, False, True),
        (0x7E0, False, True),
        (0x7E7, False, True),
        (0x7E8, False, False),
        (0x726, False, False),
        (0x18DA10F1, True, True),
        (0x18DB33F1, True, True),
        (0x18DA10F2, True, False),
    ],
)
def test_reading_is_not_enough_where_ecus_may_take_an_address_byte_for_something_else(
    identifier, extended, normal, address
):
    """02 11 03 ... is a first frame of 259 bytes to the address 02, or an ECU's reset."""
    harmless = address >= 0x40 and not normal
    for check, arguments in ((check_channel, ()), (check_payload, (b"\x22" + bytes(258),))):
        for word, passes in (("read-diagnostics", harmless), ("diagnostics", True), ("raw", False)):
            grants = parse_grants(word)
            assert allowed(check, grants, OPEN, identifier, extended, *arguments, address=address) == passes
            assert not allowed(check, grants, CLOSED, identifier, extended, *arguments, address=address)


@pytest.mark.parametrize(
    ("payload", "normal", "either"),
    [
        ("22f190", True, True),
        ("010c", True, False),  # 02 01 0C is one byte to the address 02
        ("032ef190", True, False),  # 04 03 2E F1 90 is a write to the address 04
        ("08", True, True),  # no single frame is that long
        ("22" + "f190" * 3, True, True),
        ("22" + "f190" * 4, True, False),  # 21 F1 90 ... is whatever one likes, to the address 21
    ],
)
def test_reading_is_not_enough_for_what_extended_addressing_takes_for_something_else(payload, normal, either):
    for word, passes in (("read-diagnostics", either), ("diagnostics", True), ("raw", False)):
        grants = parse_grants(word)
        assert allowed(check_payload, grants, OPEN, 0x726, False, bytes.fromhex(payload)) == passes
    assert allowed(check_payload, Write.READ_DIAGNOSTIC, OPEN, ENGINE, False, bytes.fromhex(payload)) == normal


def test_a_channel_to_an_id_without_diagnostics_is_as_good_as_raw_frames():
    """Its flow control would go there."""
    assert not allowed(check_channel, Write.READ_DIAGNOSTIC, OPEN, 0x6F1, False, address=0x63)
    assert allowed(check_channel, parse_grants("diagnostics"), OPEN, 0x6F1, False, address=0x63)
    known = BusRules(1, raw_writable=True, diagnostic_ids=frozenset({0x6F1}))
    assert allowed(check_channel, Write.READ_DIAGNOSTIC, known, 0x6F1, False, address=0x63)
    assert allowed(check_payload, Write.READ_DIAGNOSTIC, known, 0x6F1, False, b"\x3e\x00", address=0x63)
    assert not allowed(check_payload, Write.READ_DIAGNOSTIC, known, 0x6F1, False, b"\x11\x01", address=0x63)


@pytest.mark.parametrize("grants", [Write(bits) for bits in range(Write.ALL.value + 1)])
def test_raw_frames_over_the_whole_standard_id_space(grants):
    """Nothing leaves on any id unless raw is granted; on diagnostic ids not without diagnostics either."""
    for identifier, bus in itertools.product(range(0x800), (OPEN, UNDESCRIBED, CLOSED)):
        expected = Write.RAW in grants and bus.raw_writable is not False
        if identifier >= 0x700:
            expected = expected and Write.CHANGE_DIAGNOSTIC in grants
        assert allowed(check_raw, grants, bus, identifier, False, bytes.fromhex("0211010000000000")) == expected


READ_ONLY = Write.RAW | Write.READ_DIAGNOSTIC


@pytest.mark.parametrize(
    ("identifier", "extended", "data", "passes"),
    [
        (0x7DF, False, "02010c", True),  # single frame, current data
        (0x7E0, False, "0322f19000000000", True),
        (0x7E0, False, "1014221234567890", True),  # first frame of a long read
        (0x7E0, False, "0210030000000000", False),  # session control
        (0x7E0, False, "042ef19001000000", False),  # write by identifier
        (0x7E0, False, "10142ef190010203", False),  # first frame of a long write
        (0x7E0, False, "2101020304050607", False),  # consecutive: the service is out of sight
        (0x7E0, False, "3000000000000000", False),  # flow control lets a transfer go on
        (0x7E0, False, "1000000010002e01", False),  # first frame with a 32-bit length
        (0x7E0, False, "0000000000000000", False),  # no length
        (0x7E0, False, "0722", False),  # longer than its frame
        (0x7E0, False, "", False),
        (0x7E0, False, "000a" + "22" + "00" * 13, True),  # CAN FD single frame
        (0x7E0, False, "000a" + "2e" + "00" * 13, False),
        (0x726, False, "04032ef190000000", False),  # maybe extended addressing: a write to ECU 04
        (0x18DA10F1, True, "0322f19000000000", True),
        (0x18DB33F1, True, "02010c", True),
        (0x18DA10F1, True, "0211010000000000", False),
        (0x14DA10F1, True, "0322f19000000000", False),  # another priority
        (0x18DAF110, True, "0322f19000000000", False),  # not a tester's id
        (0x123, False, "0211010000000000", True),  # not a diagnostic id
        (0x18FEF100, True, "0211010000000000", True),
    ],
)
def test_no_raw_frame_smuggles_a_request_that_is_refused_as_one(identifier, extended, data, passes):
    assert allowed(check_raw, READ_ONLY, OPEN, identifier, extended, bytes.fromhex(data)) == passes


def test_an_id_that_the_profile_sends_requests_to_is_a_diagnostic_id():
    bus = BusRules(1, raw_writable=True, diagnostic_ids=frozenset({0x241}))
    assert not allowed(check_raw, READ_ONLY, bus, 0x241, False, bytes.fromhex("0211010000000000"))


def test_29_bit_diagnostic_ids_of_any_priority():
    for priority in range(8):
        for format_byte in (0xDA, 0xDB, 0xCD, 0xCE):
            assert is_diagnostic_id(priority << 26 | format_byte << 16 | 0x10F1, True)
    assert not is_diagnostic_id(0x7E0, True)
