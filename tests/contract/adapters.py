"""What a bus promises whose adapter can be lost: pulled out, taken down, or off a bus that is disturbed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge.buses.bus import Bus, BusState
from bridge.buses.frame_bus import FrameBus
from bridge.errors import BusError
from bridge.frames import Frame, FrameBatch
from tests.contract.harness import Endpoints, Listener, Peer, Raw
from tests.descriptors import descriptors

ROUNDS = 3  #: an adapter that came back once may fail to do so again


class AdapterContract(Endpoints):
    """Two endpoints: 1 is the bridge's, which `unplug` takes away and `plug_in` gives back; 2 is the vehicle's."""

    tells_errors = True  #: the bus learns of error states

    def unplug(self) -> None:
        raise NotImplementedError

    def plug_in(self) -> None:
        raise NotImplementedError

    def disturb(self, passive: bool) -> None:
        """Have endpoint 1 told that its controller is error passive, or no longer."""
        raise NotImplementedError

    async def lose(self, heard: Listener) -> None:
        count = len(heard.states)
        self.unplug()
        await heard.until(lambda: len(heard.states) > count)
        assert heard.states[count:] == [BusState.GONE]

    async def regain(self, heard: Listener) -> None:
        count = len(heard.states)
        self.plug_in()
        await heard.until(lambda: len(heard.states) > count)
        assert heard.states[count:] == [BusState.UP]

    async def test_it_is_gone_and_back_as_often_as_it_likes(self, opened) -> None:
        bus, heard = await opened(1)
        vehicle, at_vehicle = await opened(2)
        for number in range(1, ROUNDS + 1):
            await self.lose(heard)
            assert bus.state is BusState.GONE
            with pytest.raises(BusError, match="gone"):
                bus.send(FrameBatch.of([Frame(id=0x100)]))
            await self.regain(heard)
            assert bus.state is BusState.UP
            vehicle.send(FrameBatch.of([Frame(id=0x200 + number)]))
            assert [f.id for f in await heard.heard(number)][-1] == 0x200 + number
            bus.send(FrameBatch.of([Frame(id=0x300 + number)]))
            assert [f.id for f in await at_vehicle.heard(number)][-1] == 0x300 + number
        assert heard.states == [BusState.GONE, BusState.UP] * ROUNDS
        assert bus.frames_sent == bus.frames_received == ROUNDS

    async def test_who_is_told_that_it_is_back_may_send_at_once(self, opened) -> None:
        class Eager(Listener):
            def bus_state_changed(self, bus: Bus, state: BusState, reason: str) -> None:
                if state is BusState.UP:
                    bus.send(FrameBatch.of([Frame(id=0x77)]))
                super().bus_state_changed(bus, state, reason)

        _, heard = await opened(1, listener=Eager())
        _, at_vehicle = await opened(2)
        await self.lose(heard)
        await self.regain(heard)
        assert [f.id for f in await at_vehicle.heard(1)] == [0x77]

    async def test_what_was_wanted_still_is(self, opened) -> None:
        bus, heard = await opened(1)
        vehicle, _ = await opened(2)
        bus.want_ids(frozenset({(0x10, False)}))
        await self.lose(heard)
        bus.want_ids(frozenset({(0x10, False), (0x11, True)}))
        await self.regain(heard)
        vehicle.send(FrameBatch.of([Frame(id=0x10), Frame(id=0x12), Frame(id=0x11, extended=True)]))
        await heard.until(lambda: any(f.extended for f in heard.frames))
        assert [f.id for f in heard.frames if f.id != 0x12] == [0x10, 0x11]

    async def test_channels_outlive_it(self, opened) -> None:
        bus, heard = await opened(1)
        vehicle, _ = await opened(2)
        tester, ecu = Peer(bus, 0x7E0, 0x7E8), Peer(vehicle, 0x7E8, 0x7E0)
        raw = Raw(bus, 0x123)
        for number in range(1, ROUNDS + 1):
            await self.lose(heard)
            with pytest.raises(BusError, match="gone"):
                tester.channel.send(b"\x3e\x00")
            await self.regain(heard)
            tester.channel.send(bytes(range(100)))
            assert await ecu.payload() == bytes(range(100))
            ecu.channel.send(bytes(reversed(range(100))))
            assert await tester.payload() == bytes(reversed(range(100)))
            vehicle.send(FrameBatch.of([Frame(id=0x123, data=b"raw")]))
            assert await raw.data(number) == [b"raw"] * number

    async def test_closing_while_it_is_gone(self, opened) -> None:
        bus, heard = await opened(1)
        vehicle, _ = await opened(2)
        await self.lose(heard)
        await bus.close()
        assert bus.state is BusState.CLOSED
        with pytest.raises(BusError, match="closed"):
            bus.send(FrameBatch.of([Frame(id=1)]))
        self.plug_in()
        again = Listener()
        await bus.open(again)
        assert bus.state is BusState.UP
        vehicle.send(FrameBatch.of([Frame(id=0x55)]))
        assert [f.id for f in await again.heard(1)] == [0x55]
        assert heard.states == [BusState.GONE]

    async def test_no_loss_leaves_anything_behind(self, opened) -> None:
        bus, heard = await opened(1)
        await self.lose(heard)
        await self.regain(heard)
        tasks, files = len(asyncio.all_tasks()), descriptors()
        threads = self.threads_of(bus)
        for _ in range(ROUNDS):
            await self.lose(heard)
            await self.regain(heard)
        assert len(asyncio.all_tasks()) == tasks
        assert self.threads_of(bus) == threads
        assert descriptors() == files

    def threads_of(self, bus: FrameBus) -> list[str]:
        """Its threads bear its name; others may end meanwhile."""
        return sorted(thread.name for thread in threading.enumerate() if bus.name in thread.name)

    async def test_error_passive_and_back(self, opened) -> None:
        if not self.tells_errors:
            pytest.skip("what reads this adapter does not tell error states")
        bus, heard = await opened(1)
        _, at_vehicle = await opened(2)
        for number in range(1, ROUNDS + 1):
            self.disturb(passive=True)
            await heard.until(lambda: bus.state is BusState.ERROR_PASSIVE)
            bus.send(FrameBatch.of([Frame(id=number)]))
            assert (await at_vehicle.heard(number))[-1].id == number
            self.disturb(passive=False)
            await heard.until(lambda: bus.state is BusState.UP)
        assert heard.states == [BusState.ERROR_PASSIVE, BusState.UP] * ROUNDS
        assert bus.frames_sent == ROUNDS
