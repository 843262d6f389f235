"""What no app should send, through the socket: nothing dies, nobody else notices."""

import asyncio
import itertools
import json
import random
import time

import pytest

from bridge.openxc.messages import CanMessage, CommandResponse, PayloadFormat, SimpleCommand
from bridge.openxc.protobuf_format import encode as protobuf

from .harness import SOON, connect, leave_in_anger

VERSION = b'{"command":"version"}\0'
FRAME = b'{"bus":1,"id":%d,"data":"0x%s"}\0'
MARKER = 0x6FF  #: the id of frames that the tests send last
MARKERS = itertools.count()
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def daemon(start_shared):
    """A daemon whose bus gives back what is written."""
    return start_shared("--profile", "functional")


def shown(record):
    """A record as the tables below have it; None for data that is not theirs."""
    if isinstance(record, CommandResponse):
        return record.command_response, record.status
    if isinstance(record, CanMessage) and record.id != 0x7E5:  # the profile's own request
        return record.id, record.data.hex()
    return None


async def said(app):
    """What the app is told, the answers first: a frame comes back a little later than an answer."""
    marker = next(MARKERS)
    app.send(FRAME % (MARKER, b"%08x" % marker))
    records = await app.until(lambda record: shown(record) == (MARKER, f"{marker:08x}"))
    found = [line for record in records[:-1] if (line := shown(record)) is not None]
    return sorted(found, key=lambda line: isinstance(line[0], int))


ANSWERED = [("version", True)]

INPUTS = {
    "NULs": (b"\0\0\0", []),
    "nothing but white space": (b" \r\n\t\0", []),
    "junk and a NUL": (b"hello vehicle\0" + VERSION, ANSWERED),
    "junk directly before a record": (b"junk" + VERSION, ANSWERED),
    "junk that is not ASCII": (b"\xff\xfe\xe9" + VERSION + VERSION, None),
    "a line feed before a record": (b"\r\n" + VERSION, ANSWERED),
    "a line feed before the NUL": (b'{"command":"version"}\r\n\0', ANSWERED),
    "several records at once": (VERSION * 3, ANSWERED * 3),
    "an array": (b"[1,2,3]\0" + VERSION, ANSWERED),
    "a number": (b"42\0" + VERSION, ANSWERED),
    "a text": (b'"version"\0' + VERSION, ANSWERED),
    "an object of no kind": (b'{"hello":"world"}\0' + VERSION, ANSWERED),
    "an empty object": (b"{}\0" + VERSION, ANSWERED),
    "a broken record": (b"{broken json}\0" + VERSION, ANSWERED),
    "a record that is cut off": (b'{"command":"vers\0' + VERSION, ANSWERED),
    "two records without a NUL between": (b'{"command":"version"}{"command":"version"}\0', []),
    "an unknown command": (b'{"command":"self_destruct"}\0', [("self_destruct", False)]),
    "a command that begins like another": (b'{"command":"versionfoo"}\0', [("versionfoo", False)]),
    "a command that is a number": (b'{"command":1}\0' + VERSION, ANSWERED),
    "keys in capitals": (b'{"COMMAND":"version"}\0', ANSWERED),
    "a bus that is a text": (b'{"bus":"x","id":1,"data":"0x12"}\0' + VERSION, ANSWERED),
    "an id that is a text": (b'{"bus":1,"id":"x","data":"0x12"}\0' + VERSION, ANSWERED),
    "an id that no frame has": (FRAME % (1 << 29, b"12") + VERSION, ANSWERED),
    "a negative id": (FRAME % (-1, b"12") + VERSION, ANSWERED),
    "an id with a fraction": (b'{"bus":1,"id":1.5,"data":"0x12"}\0' + VERSION, ANSWERED),
    "a huge number": (b'{"bus":1,"id":%s,"data":"0x12"}\0' % (b"9" * 5000) + VERSION, ANSWERED),
    "data that is a number": (b'{"bus":1,"id":1,"data":12}\0' + VERSION, ANSWERED),
    "data that is not hexadecimal": (FRAME % (1, b"zz") + VERSION, ANSWERED),
    "an odd number of digits": (FRAME % (1, b"123"), [(1, "1203")]),
    "data that is too long is cut": (FRAME % (1, b"00" * 9), [(1, "00" * 8)]),
    "a bus that is not there": (b'{"bus":3,"id":1,"data":"0x12"}\0' + VERSION, ANSWERED),
    "id 0 is an id": (FRAME % (0, b"beef"), [(0, "beef")]),
    "data without 0x, in capitals": (b'{"bus":1,"id":66,"data":"AbCD"}\0', [(66, "abcd")]),
    "a missing bus is the first": (b'{"id":67,"data":"0x01"}\0', [(67, "01")]),
    "a passthrough without a bus": (b'{"command":"passthrough","enabled":true}\0', [("passthrough", False)]),
    "a passthrough of no bus": (b'{"command":"passthrough","bus":9,"enabled":true}\0', [("passthrough", False)]),
    "a passthrough without a switch": (b'{"command":"passthrough","bus":1}\0', [("passthrough", False)]),
    "a payload format of none": (b'{"command":"payload_format","format":"xml"}\0', [("payload_format", False)]),
    "a request that is a list": (
        b'{"command":"diagnostic_request","action":"add","request":[]}\0',
        [("diagnostic_request", False)],
    ),
    "a request without an action": (
        b'{"command":"diagnostic_request","request":{"bus":1,"id":2016,"mode":1}}\0',
        [("diagnostic_request", False)],
    ),
    "a request of mode 0": (
        b'{"command":"diagnostic_request","action":"add","request":{"bus":1,"id":2016,"mode":0}}\0',
        [("diagnostic_request", False)],
    ),
    "an SD card": (b'{"command":"sd_mount_status"}\0', [("sd_mount_status", False)]),
    "deep nesting": (b'{"command":"version","extras":' + b"[" * 20000 + b"]" * 20000 + b"}\0" + VERSION, None),
    "half a surrogate pair": (b'{"command":"\\ud800"}\0' + VERSION, ANSWERED),
    "a NUL in a text": (b'{"command":"version\\u0000"}\0', [("version\0", False)]),
    "not a number": (b'{"name":"writable_number","value":NaN}\0' + VERSION, ANSWERED),
    "an infinite number": (b'{"name":"writable_number","value":1e999}\0' + VERSION, ANSWERED),
    "a write without a value": (b'{"name":"writable_number"}\0' + VERSION, ANSWERED),
    "a write of a list": (b'{"name":"writable_number","value":[1]}\0' + VERSION, ANSWERED),
    "what an app gets, sent back": (b'{"command_response":"version","message":"","status":true}\0' + VERSION, ANSWERED),
}


@pytest.mark.parametrize(("data", "expected"), INPUTS.values(), ids=INPUTS)
async def test_odd_input(daemon, join, data, expected):
    app = await join(daemon.url)
    app.send(data)
    found = await said(app)
    if expected is None:  # either way is fine, as long as the connection lives on
        assert set(found) <= set(ANSWERED)
    else:
        assert found == expected


async def test_a_record_in_single_bytes(daemon, join):
    app = await join(daemon.url)
    for byte in VERSION + VERSION:
        app.send(bytes([byte]))
        await app.writer.drain()
        await asyncio.sleep(0)
    assert await said(app) == ANSWERED * 2


async def test_two_bytes_wait_for_the_rest(daemon, join):
    app, other = await join(daemon.url), await join(daemon.url)
    app.send(VERSION[:2])
    assert (await other.ask("version")).status
    assert not app.waiting
    app.send(VERSION[2:])
    assert await said(app) == ANSWERED


async def test_a_record_without_an_end_is_dropped_and_the_connection_lives(daemon, join):
    app = await join(daemon.url)
    before = daemon.memory
    app.send(b'{"command":"version","extras":"' + b"x" * (16 * MEGABYTE))
    await app.writer.drain()  # most of it is there now
    assert daemon.memory - before < 4 * MEGABYTE
    app.send(b'"}\0' + VERSION)
    assert await said(app) == ANSWERED


async def test_the_longest_record_is_taken(daemon, join):
    app = await join(daemon.url)
    frame = b'{"command":"version","extras":"%s"}'
    fits = frame % (b"x" * (64 * 1024 - len(frame) + 2))
    assert len(fits) == 64 * 1024
    app.send(fits + b"\0", fits[:-2] + b'x"}\0')
    assert await said(app) == ANSWERED


async def test_garbage_between_protobuf_records(daemon, join):
    app = await join(daemon.url, PayloadFormat.PROTOBUF)
    assert (await app.ask("version")).status
    noise = random.Random(1)
    command = protobuf(SimpleCommand(name="version"))
    for _ in range(20):
        # What looks like the beginning of a record may swallow a few bytes of what follows, so many commands follow.
        app.send(noise.randbytes(noise.randrange(1, 200)), command * 100)
        answers = await app.until(lambda record: isinstance(record, CommandResponse))
        assert answers[-1].status
    app.send(command * 100, protobuf(SimpleCommand(name="platform")))
    await app.find(lambda record: shown(record) == ("platform", True))
    assert app.decoder.invalid == 0


@pytest.mark.parametrize("seed", range(5))
async def test_noise(daemon, join, seed):
    """Whatever comes, the connection is usable after it, in JSON: half of the noise is made of records."""
    noise = random.Random(seed)
    app = await join(daemon.url)
    app.send(b"{}\0")
    for _ in range(300):
        record = bytearray(noise.choice([VERSION, FRAME % (1, b"12"), *(data for data, _ in INPUTS.values())])[:2000])
        for _ in range(noise.randrange(4)):
            record[noise.randrange(len(record))] = noise.choice(b'\0"{}[]:,\\\xff0x')
        app.send(bytes(record))
        await app.writer.drain()
    app.send(b'\0{"command":"payload_format","format":"json"}\0')
    app.send(b'\0{"command":"sd_mount_status"}\0')
    await app.find(lambda record: shown(record) == ("sd_mount_status", False))


ODD_VALUES = [
    1e308,
    -1e308,
    1e-308,
    10**30,
    -(10**30),
    -1,
    0.1,
    65536,
    "",
    "x" * 1000,
    "run\n",
    "\0",
    True,
    None,
    "nan",
]
WRITABLE = ["writable_number", "writable_state", "writable_boolean", "turn_signal_status", "no\nsuch signal"]


async def test_odd_values_for_writable_signals(daemon, join):
    app = await join(daemon.url)
    for name in WRITABLE:
        for value in ODD_VALUES:
            for event in (None, True, "x"):
                app.send(json.dumps({"name": name, "value": value, "event": event}).encode() + b"\0")
    app.send(VERSION)
    await app.find(lambda record: shown(record) == ("version", True))


@pytest.mark.parametrize("seed", range(3))
async def test_every_command_is_answered_once_and_in_order(daemon, join, seed):
    """Requests made of whatever, as long as it is JSON."""
    chance = random.Random(seed)
    anything = [
        None,
        True,
        -1,
        0,
        1,
        2,
        15,
        34,
        255,
        256,
        2015,
        2016,
        1 << 29,
        1 << 70,
        0.5,
        1e9,
        "1",
        "0x7e0",
        "",
        [],
        {},
    ]
    app = await join(daemon.url)
    for number in range(300):
        request = {
            "bus": chance.choice([1, 1, 2, *anything]),
            "id": chance.choice([2016, 2015, *anything]),
            "mode": chance.choice([1, 34, *anything]),
            "pid": chance.choice([12, *anything]),
            "payload": chance.choice(["", "0x1234", "0x123456789abcdef0", "zz", *anything]),
            "frequency": chance.choice([0, 0, 10, *anything]),
            "name": chance.choice(["speed", "a\0b\n", *anything]),
            "multiple_responses": chance.choice(anything),
            "decoded_type": chance.choice(["none", "obd2", *anything]),
        }
        fields = {key: value for key, value in request.items() if chance.random() < 0.9}
        command = {"command": "diagnostic_request", "action": chance.choice(["add", "add", "cancel", *anything])}
        app.send(json.dumps(command | {"request": fields}).encode() + b"\0")
        app.send(b'{"command":"mark %d"}\0' % number)
        assert (await app.answer()).command_response == "diagnostic_request"
        assert (await app.answer()).command_response == f"mark {number}"


async def test_no_app_writes_lines_of_its_own_into_the_log(start, join):
    """What an app sends is quoted there on one line, and not at any length."""
    daemon = start("--profile", "functional")
    app = await join(daemon.url)
    assert (await app.ask("version")).status
    before = daemon.errors.count("\n")
    app.send(b'{"name":"x\\nERROR all is lost\\u001b[31m%s","value":1}\0' % (b"y" * 5000))
    assert (await app.ask("version")).status
    assert daemon.errors.count("\n") == before + 1
    assert "\x1b" not in daemon.errors
    assert len(daemon.errors.splitlines()[-1]) < 500


# Floods


async def send_until_cut_off(url, data):
    """Send and never read; how many bytes it took."""
    sock = connect(url)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    sent = 0
    try:
        async with asyncio.timeout(2 * SOON):
            while True:
                await loop.sock_sendall(sock, data)
                sent += len(data)
    except (ConnectionResetError, BrokenPipeError):
        return sent
    finally:
        sock.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_who_asks_on_and_on_without_reading_is_cut_off(start, join, tmp_path, kind):
    listen = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix:{tmp_path}/socket"}[kind]
    daemon = start("--profile", "functional", "--listen", listen)
    app = await join(daemon.url)
    before = daemon.memory
    flood = asyncio.create_task(send_until_cut_off(daemon.url, VERSION * 200))
    slowest = 0.0
    while not flood.done():
        began = time.monotonic()
        assert (await app.ask("version")).status
        slowest = max(slowest, time.monotonic() - began)
    assert await flood > 0
    assert slowest < 0.5
    assert daemon.memory - before < 4 * MEGABYTE
    assert (await app.ask("version")).status
    assert "without reading the answers" in daemon.errors


async def test_a_flood_of_commands_delays_nobody(daemon, join):
    """One app sends a megabyte of commands, and reads their answers; another asks one thing at a time."""
    flooder, app = await join(daemon.url), await join(daemon.url)
    count = MEGABYTE // len(VERSION)
    flooder.send(VERSION * count)

    async def read_answers():
        seen, token, tail = 0, b'"command_response"', b""
        while seen < count:
            data = await flooder.reader.read(1 << 18)
            assert data
            seen += (tail + data).count(token)
            tail = (tail + data)[1 - len(token) :]

    flood = asyncio.create_task(read_answers())
    slowest = 0.0
    while not flood.done():
        began = time.monotonic()
        assert (await app.ask("version")).status
        slowest = max(slowest, time.monotonic() - began)
    await flood
    assert slowest < 0.5


async def test_a_flood_of_broken_records_delays_nobody(daemon, join):
    flooder, app = await join(daemon.url), await join(daemon.url)
    for filler in (b"{broken}\0", b"\x83\x01\x08", b"[" * 1000 + b"\0", b"\xff"):
        flooder.send(filler * (MEGABYTE // len(filler)))
        began = time.monotonic()
        assert (await app.ask("version")).status
        assert time.monotonic() - began < 0.5
        await flooder.writer.drain()
        assert (await app.ask("version")).status


async def test_slow_apps_hold_up_nobody(daemon, join):
    """Fifty apps that send a command byte by byte, all at the same pace."""
    slow = [await join(daemon.url) for _ in range(50)]
    app = await join(daemon.url)
    for byte in VERSION:
        for one in slow:
            one.send(bytes([byte]))
        began = time.monotonic()
        assert (await app.ask("version")).status
        assert time.monotonic() - began < 0.5
    for one in slow:
        assert (await one.answer()).command_response == "version"


async def test_many_connections_that_say_nothing_and_leave(daemon, join):
    app = await join(daemon.url)
    for _ in range(4):
        for sock in [connect(daemon.url) for _ in range(60)]:
            sock.close()
        assert (await app.ask("version")).status


async def test_the_log_says_what_a_client_sent_in_vain(start, join):
    daemon = start("--bus", "virtual")
    app = await join(daemon.url)
    app.send(b"{broken}\0", b"x" * 70_000 + b"\0", b'{"nothing":1}\0')
    assert (await app.ask("version")).status
    await app.close()
    assert daemon.end()[0] == 0
    assert ", 2 of its records made no sense, 1 of its records were too long" in daemon.errors


async def test_apps_that_ask_and_leave_in_anger_do_not_flood_the_log(start, join):
    daemon = start("--bus", "virtual")
    for _ in range(20):
        sock = connect(daemon.url)
        sock.sendall(VERSION * 500)
        leave_in_anger(sock)
    assert (await (await join(daemon.url)).ask("version")).status
    assert daemon.end()[0] == 0
    assert daemon.errors.count("\n") <= 2 * 21 + 2, daemon.errors
