"""The bitrate of a CAN interface, shown and set by the program `ip` (package iproute2).

The kernel lets only root change it, while the interface is down. This module must not know sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.errors import BusError
from bridge.limits import LINK_COMMAND_TIMEOUT

_SYSTEM_FOLDERS = "/usr/sbin:/sbin"  # where `ip` is, and not on every user's PATH
_NOT_PERMITTED = "Operation not permitted"


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What `ip -details -json link show` says of an interface, as far as bitrates go."""

    kind: str  #: "can" for a controller, "vcan" or "vxcan" for virtual ones, or ""
    up: bool
    bitrate: int | None = None  #: bit/s
    data_bitrate: int | None = None  #: bit/s of the data phase, None unless CAN FD is on

    def have(self, bitrate: int, data_bitrate: int | None) -> bool:
        """Whether nothing is to be done for these."""
        return self.up and self.bitrate == bitrate and data_bitrate in (None, self.data_bitrate)


def parse_link(text: bytes) -> LinkSettings:
    """Read the output of `ip -details -json link show dev NAME`.

    Raises:
        ValueError: it is none.
    """
    try:
        (link,) = msgspec.json.decode(text, type=list[dict[str, Any]])
        info = link.get("linkinfo", {})
        data = info.get("info_data", {})
        fd = "FD" in data.get("ctrlmode", ())
        return LinkSettings(
            kind=info.get("info_kind", ""),
            up="UP" in link.get("flags", ()),
            bitrate=_bitrate(data, "bittiming"),
            data_bitrate=_bitrate(data, "data_bittiming") if fd else None,
        )
    except (msgspec.DecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"this is no link: {error}") from error


def _bitrate(data: dict[str, Any], timing: str) -> int | None:
    """Of a controller with a clock to divide, or of one that knows certain bitrates only."""
    value = data.get(timing, {}).get("bitrate") or data.get(f"{timing}_bitrate")
    return value if isinstance(value, int) else None


async def set_bitrate(name: str, bitrate: int, data_bitrate: int | None) -> None:
    """Give an interface a bitrate and bring it up, unless it is up with it already.

    Other programs that use the interface notice: it goes down for a moment.

    Args:
        name: of a CAN interface that exists.
        bitrate: bit/s.
        data_bitrate: bit/s of CAN FD's data phase; None leaves CAN FD as it is.

    Raises:
        BusError: one line that says what to type, or what is wrong.
    """
    present = await _show(name)
    if present.kind != "can":
        kind = "a virtual interface" if present.kind in ("vcan", "vxcan") else "no CAN controller"
        raise BusError(f"socketcan: {name} is {kind} and has no bitrate to set; write socketcan:{name}")
    if present.have(bitrate, data_bitrate):
        return
    down = ["link", "set", name, "down"]
    up = ["link", "set", name, "up", "type", "can", "bitrate", str(bitrate)]
    if data_bitrate is not None:
        up += ["dbitrate", str(data_bitrate), "fd", "on"]
    steps = [down, up] if present.up else [up]
    for step in steps:
        status, _, errors = await _ip(*step)
        if status == 0:
            continue
        if _NOT_PERMITTED in errors:
            commands = " && ".join(f"sudo ip {' '.join(words)}" for words in steps)
            raise BusError(f"socketcan: only root may set the bitrate of {name}; type: {commands}")
        if present.up and step is up:
            await _ip("link", "set", name, "up")  # as it was
        raise BusError(f"socketcan: {name} does not take this bitrate: ip {' '.join(step)}: {errors}")


async def _show(name: str) -> LinkSettings:
    status, output, errors = await _ip("-details", "-json", "link", "show", "dev", name)
    if status != 0:
        raise BusError(f"socketcan: {name}: {errors}")
    try:
        return parse_link(output)
    except ValueError as error:
        raise BusError(f"socketcan: the program ip says nothing of use about {name}") from error


async def _ip(*arguments: str) -> tuple[int, bytes, str]:
    """Run `ip`; its exit status, its output, and its complaints in one line."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), _SYSTEM_FOLDERS))
    program = shutil.which("ip", path=path)
    if program is None:
        raise BusError("socketcan: setting a bitrate needs the program ip; install the package iproute2")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), LINK_COMMAND_TIMEOUT)
    except TimeoutError as error:
        raise BusError(f"socketcan: ip {' '.join(arguments)} did not end in {LINK_COMMAND_TIMEOUT:g} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, output, " ".join(errors.decode(errors="replace").split())
