"""The bitrate by way of the program `ip`: of the real one its output, otherwise one that does what a test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.buses import can_bitrate
from bridge.buses.can_bitrate import LinkSettings, parse_link, set_bitrate
from bridge.errors import BusError

# iproute2 6.1, shortened where it repeats itself.
CAN0 = b"""[{"ifindex":3,"ifname":"can0","flags":["NOARP","UP","LOWER_UP","ECHO"],"mtu":16,"qdisc":"pfifo_fast",
"operstate":"UP","linkmode":"DEFAULT","group":"default","txqlen":10,"link_type":"can","promiscuity":0,
"linkinfo":{"info_kind":"can","info_data":{"state":"ERROR-ACTIVE","berr_counter":{"tx":0,"rx":0},"restart_ms":100,
"bittiming":{"bitrate":500000,"sample_point":"0.875","tq":250,"prop_seg":3,"phase_seg1":3,"phase_seg2":1,"sjw":1},
"bittiming_const":{"name":"sun4i_can","tseg1":{"min":1,"max":16},"tseg2":{"min":1,"max":8},"brp_inc":1},
"clock":24000000}},"num_tx_queues":1,"gso_max_size":65536}]"""

CAN_FD = b"""[{"ifindex":3,"ifname":"can0","flags":["NOARP","UP","LOWER_UP","ECHO"],"mtu":72,"qdisc":"pfifo_fast",
"operstate":"UP","linkmode":"DEFAULT","group":"default","txqlen":10,"link_type":"can","promiscuity":0,
"linkinfo":{"info_kind":"can","info_data":{"ctrlmode":["FD"],"ctrlmode_supported":["LOOPBACK","LISTEN-ONLY","FD"],
"state":"ERROR-ACTIVE","berr_counter":{"tx":0,"rx":0},"restart_ms":0,
"bittiming":{"bitrate":1000000,"sample_point":"0.500","tq":25,"prop_seg":9,"phase_seg1":10,"phase_seg2":20},
"data_bittiming":{"bitrate":5000000,"sample_point":"0.500","tq":25,"prop_seg":1,"phase_seg1":2,"phase_seg2":4},
"clock":40000000}},"num_tx_queues":1,"gso_max_size":65536}]"""

CAN0_NEW = b"""[{"ifindex":4,"ifname":"can0","flags":["NOARP","ECHO"],"mtu":16,"qdisc":"noop","operstate":"DOWN",
"linkmode":"DEFAULT","group":"default","txqlen":10,"link_type":"can","linkinfo":{"info_kind":"can","info_data":{
"state":"STOPPED","berr_counter":{"tx":0,"rx":0},"restart_ms":0,"bittiming_const":{"name":"gs_usb"},
"clock":48000000}},"num_tx_queues":1}]"""

FIXED_RATES = b"""[{"ifname":"can0","flags":["NOARP"],"linkinfo":{"info_kind":"can","info_data":{
"ctrlmode":["FD"],"bittiming_bitrate":250000,"bitrate_const":[125000,250000],"data_bittiming_bitrate":2000000}}}]"""

VCAN0 = b"""[{"ifindex":2,"ifname":"vcan0","flags":["NOARP","UP","LOWER_UP"],"mtu":72,"qdisc":"noqueue",
"operstate":"UNKNOWN","linkmode":"DEFAULT","group":"default","txqlen":1000,"link_type":"can","promiscuity":0,
"allmulti":0,"min_mtu":0,"max_mtu":0,"linkinfo":{"info_kind":"vcan"},"num_tx_queues":1,"gso_max_size":65536}]"""


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (CAN0, LinkSettings("can", True, 500000)),
        (CAN_FD, LinkSettings("can", True, 1000000, 5000000)),
        (CAN0_NEW, LinkSettings("can", False)),
        (FIXED_RATES, LinkSettings("can", False, 250000, 2000000)),
        (VCAN0, LinkSettings("vcan", True)),
        (b'[{"ifname":"slcan0","flags":["UP"]}]', LinkSettings("", True)),
    ],
)
def test_what_ip_says(text: bytes, settings: LinkSettings) -> None:
    assert parse_link(text) == settings


def test_a_data_bitrate_without_can_fd_is_none() -> None:
    assert parse_link(CAN_FD.replace(b'["FD"]', b"[]")).data_bitrate is None


@given(st.one_of(st.binary(), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps)))
def test_what_is_no_link_is_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError):
        parse_link(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("settings", "wanted", "enough"),
    [
        (LinkSettings("can", True, 500000), (500000, None), True),
        (LinkSettings("can", True, 500000, 2000000), (500000, None), True),
        (LinkSettings("can", True, 500000, 2000000), (500000, 2000000), True),
        (LinkSettings("can", True, 500000, 2000000), (500000, 4000000), False),
        (LinkSettings("can", True, 500000), (500000, 2000000), False),
        (LinkSettings("can", True, 250000), (500000, None), False),
        (LinkSettings("can", False, 500000), (500000, None), False),
    ],
)
def test_when_nothing_is_to_be_done(settings: LinkSettings, wanted: tuple[int, int | None], enough: bool) -> None:
    assert settings.have(*wanted) is enough


class FakeIp:
    """A program `ip` on the PATH that notes what it is asked to do."""

    def __init__(self, folder: Path, shows: bytes, script: str = "") -> None:
        self._calls = folder / "calls"
        self._calls.touch()
        (folder / "shows").write_bytes(shows)
        program = folder / "ip"
        program.write_text(
            f'#!/bin/sh\ncase "$*" in *show*) exec /bin/cat {folder}/shows;; esac\n'
            f'echo "ip $*" >>{self._calls}\n{script}\n'
        )
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines()


@pytest.fixture
def fake_ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    return lambda shows, script="": FakeIp(tmp_path, shows, script)


async def test_another_bitrate_is_set_while_the_interface_is_down(fake_ip) -> None:
    ip = fake_ip(CAN0)
    await set_bitrate("can0", 250000, None)
    assert ip.calls == ["ip link set can0 down", "ip link set can0 up type can bitrate 250000"]


async def test_an_interface_that_is_down_is_not_taken_down(fake_ip) -> None:
    ip = fake_ip(CAN0_NEW)
    await set_bitrate("can0", 500000, 2000000)
    assert ip.calls == ["ip link set can0 up type can bitrate 500000 dbitrate 2000000 fd on"]


async def test_an_interface_that_has_it_is_left_alone(fake_ip) -> None:
    ip = fake_ip(CAN0)
    await set_bitrate("can0", 500000, None)
    assert ip.calls == []


async def test_without_permission_the_command_is_told(fake_ip) -> None:
    ip = fake_ip(CAN0, "echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2")
    with pytest.raises(BusError) as caught:
        await set_bitrate("can0", 250000, 1000000)
    assert str(caught.value) == (
        "socketcan: only root may set the bitrate of can0; type: sudo ip link set can0 down && "
        "sudo ip link set can0 up type can bitrate 250000 dbitrate 1000000 fd on"
    )
    assert ip.calls == ["ip link set can0 down"]


async def test_a_bitrate_that_the_controller_refuses_leaves_the_interface_up(fake_ip) -> None:
    script = "case \"$*\" in *bitrate*) echo 'RTNETLINK answers: Invalid argument' >&2; exit 2;; esac"
    ip = fake_ip(CAN0, script)
    with pytest.raises(BusError, match=r"can0 does not take this bitrate: .*bitrate 3: RTNETLINK answers: Invalid"):
        await set_bitrate("can0", 3, None)
    assert ip.calls[-1] == "ip link set can0 up"


async def test_a_virtual_interface_has_no_bitrate(fake_ip) -> None:
    ip = fake_ip(VCAN0)
    with pytest.raises(BusError, match="vcan0 is a virtual interface and has no bitrate to set; write socketcan:vcan0"):
        await set_bitrate("vcan0", 500000, None)
    assert ip.calls == []


async def test_a_program_that_is_not_there(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(can_bitrate, "_SYSTEM_FOLDERS", str(tmp_path))
    with pytest.raises(BusError, match="install the package iproute2"):
        await set_bitrate("can0", 500000, None)


async def test_a_program_that_hangs_is_ended(fake_ip, monkeypatch) -> None:
    monkeypatch.setattr(can_bitrate, "LINK_COMMAND_TIMEOUT", 0.05)
    fake_ip(CAN0, "exec /bin/sleep 1000")
    with pytest.raises(BusError, match="did not end"):
        await set_bitrate("can0", 250000, None)


async def test_a_program_that_talks_nonsense(fake_ip) -> None:
    fake_ip(b"no JSON at all")
    with pytest.raises(BusError, match="says nothing of use about can0"):
        await set_bitrate("can0", 250000, None)
