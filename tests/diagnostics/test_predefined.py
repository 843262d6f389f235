"""Predefined OBD-II requests, on a car that answers."""

from collections import Counter, deque

import pytest

from bridge.diagnostics.addressing import FUNCTIONAL_ID
from bridge.diagnostics.events import InternalOwner
from bridge.diagnostics.predefined import PredefinedObd2
from bridge.openxc.messages import DiagnosticResponse, SimpleMessage

from .bench import bench, ecu, request

OWNER = InternalOwner.PREDEFINED_OBD2
VALUES = {0x0C: b"\x1a\xf8", 0x0D: b"\x40", 0x10: b"\x04\xd2"}


def bitmap(first, pids):
    return sum(1 << (0x20 - (pid - first)) for pid in pids if first < pid <= first + 0x20).to_bytes(4, "big")


class Car:
    """ECUs, each with the PIDs that it supports."""

    def __init__(self, *ecus, values=VALUES):
        self.ecus = ecus
        self.values = values
        self.awake = True
        self.lose = Counter()  # PID -> how many requests it does not hear

    def respond(self, address, payload):
        if not self.awake or address.request_id != FUNCTIONAL_ID or payload[0] != 1:
            return
        pid = payload[1]
        if self.lose[pid]:
            self.lose[pid] -= 1
            return
        for index, pids in enumerate(self.ecus):
            if pid % 0x20 == 0 and (pid == 0 or pid in pids):
                yield ecu(index), b"\x41" + payload[1:2] + bitmap(pid, pids)
            elif pid in pids:
                yield ecu(index), b"\x41" + payload[1:2] + self.values.get(pid, b"\x80\x80")


class Drive:
    """A bench with the machine on it: what the vehicle interface does with the events."""

    def __init__(self, car, bus=1, **options):
        self.bench = bench(random=0.5, **options)
        self.machine = PredefinedObd2(self.bench.manager, bus)
        self.car = car
        self.heard = 0

    def run(self, events):
        queue = deque(events)
        while queue:
            event = queue.popleft()
            self.bench.do([event])
            queue.extend(self.machine.handle(event, self.bench.now))

    def enable(self):
        self.run(self.machine.enable(self.bench.now))
        self.pass_time(0)

    def disable(self):
        self.run(self.machine.disable(self.bench.now))

    def pass_time(self, seconds):
        b = self.bench
        end = b.now + seconds
        while True:
            while self.heard < len(b.sent):
                _, address, payload = b.sent[self.heard]
                self.heard += 1
                for channel, response in self.car.respond(address, payload):
                    self.run(b.manager.received(channel, response, b.now))
            wakeups = [each for each in (b.manager.next_wakeup(), self.machine.next_wakeup()) if each is not None]
            if not wakeups or min(wakeups) > end:
                break
            b.now = max(b.now, min(wakeups))
            self.run([*b.manager.poll(b.now), *self.machine.poll(b.now)])
        b.now = end

    def asked(self, since=0):
        return [payload[1] for _, _, payload in self.bench.sent[since:]]

    def recurring(self):
        return {each.pid: each for owner, each in self.bench.manager.requests() if owner is OWNER and each.frequency}

    def names(self, since=0):
        return {each.name for each in self.bench.messages()[since:] if isinstance(each, SimpleMessage)}


ENGINE_PIDS = {0x04, 0x05, 0x0C, 0x0D, 0x0F, 0x10, 0x11, 0x1F, 0x20, 0x27, 0x2F, 0x33, 0x40, 0x46, 0x4C, 0x5C}


def test_nothing_happens_before_it_is_enabled():
    drive = Drive(Car(ENGINE_PIDS))
    drive.run(drive.machine.poll(1000.0))
    drive.run(drive.machine.disable(1000.0))
    assert drive.machine.next_wakeup() is None
    assert not drive.machine.enabled
    assert drive.bench.sent == []


def test_looks_every_2_seconds():
    drive = Drive(Car())
    drive.enable()
    assert drive.machine.enabled
    drive.pass_time(5.9)
    assert drive.asked() == [0x0D, 0x0C] * 3
    assert [round(time - 100, 3) for time, _, _ in drive.bench.sent] == [0, 0.1, 2, 2.1, 4, 4.1]
    assert {address.request_id for _, address, _ in drive.bench.sent} == {FUNCTIONAL_ID}
    drive.enable()  # again changes nothing
    drive.pass_time(1)
    assert len(drive.bench.sent) == 8


def test_a_lower_limit_slows_the_requests_down_and_leaves_none_out():
    drive = Drive(Car(ENGINE_PIDS), max_frequency=2)
    drive.enable()
    drive.pass_time(3)
    frequencies = {pid: each.frequency for pid, each in drive.recurring().items()}
    assert frequencies == {0x04: 2, 0x05: 1, 0x0C: 2, 0x0D: 2, 0x0F: 1, 0x10: 2, 0x11: 2} | dict.fromkeys(
        (0x1F, 0x2F, 0x33, 0x4C, 0x5C), 1
    )


def test_goes_on_beside_an_app_that_asks_on_and_on():
    drive = Drive(Car(ENGINE_PIDS))
    drive.enable()
    drive.pass_time(3)
    already = len(drive.bench.sent)
    for _ in range(200):
        while sum(owner == "app" for owner, _ in drive.bench.manager.requests()) < 2:
            drive.bench.add(request(id=FUNCTIONAL_ID, pid=0x42))
        drive.pass_time(0.1)
    asked = drive.asked(already)
    assert 0 not in asked  # or else it took the vehicle for one that sleeps, and began again
    assert set(asked) == set(drive.recurring()) | {0x42}


def test_a_crowded_lane_does_not_fill_with_looks():
    drive = Drive(Car())
    for _ in range(100):
        drive.bench.add(request(id=FUNCTIONAL_ID))
    drive.enable()
    drive.pass_time(9)
    assert len(drive.bench.manager) < 20
    drive.pass_time(6)
    assert drive.asked()[-4:] == [0x0D, 0x0C] * 2


def test_a_late_poll_looks_once():
    drive = Drive(Car())
    drive.enable()
    drive.pass_time(1)
    drive.bench.now += 60
    drive.run(drive.machine.poll(drive.bench.now))
    assert drive.asked() == [0x0D, 0x0C, 0x0D]
    assert drive.machine.next_wakeup() == pytest.approx(drive.bench.now + 2)


def test_values_are_decoded_and_published_while_it_stands():
    drive = Drive(Car({0x0C, 0x0D}, values={0x0C: b"\0\0", 0x0D: b"\0"}))
    drive.enable()
    drive.pass_time(3)
    assert (
        drive.bench.messages()
        == [
            SimpleMessage(name="vehicle_speed", value=0),
            SimpleMessage(name="engine_speed", value=0),
        ]
        * 2
    )
    assert set(drive.asked()) == {0x0C, 0x0D}


@pytest.mark.parametrize("values", [{0x0C: b"\x0f\xa0", 0x0D: b"\0"}, {0x0C: b"\0\0", 0x0D: b"\x05"}])
def test_running_asks_for_what_is_supported(values):
    drive = Drive(Car(ENGINE_PIDS, values=values))
    drive.enable()
    drive.pass_time(1.0)
    assert [pid for pid in drive.asked() if pid % 0x20 == 0] == [0x00, 0x20, 0x40]
    wanted = {0x04, 0x05, 0x0C, 0x0D, 0x0F, 0x10, 0x11, 0x1F, 0x2F, 0x33, 0x4C, 0x5C}
    assert drive.recurring().keys() == wanted
    engine_speed = drive.recurring()[0x0C]
    assert (engine_speed.name, engine_speed.frequency, engine_speed.id) == ("engine_speed", 5, FUNCTIONAL_ID)
    assert not engine_speed.multiple_responses
    since = len(drive.bench.published)
    drive.pass_time(3)
    assert len(drive.names(since)) == len(wanted)
    assert "fuel_level" in drive.names(since)
    assert 0x27 not in drive.asked()


def test_bitmaps_are_published():
    drive = Drive(Car({0x0C, 0x0D}))
    drive.enable()
    drive.pass_time(1)
    responses = [each for each in drive.bench.messages() if isinstance(each, DiagnosticResponse)]
    assert [(each.id, each.pid, each.payload) for each in responses] == [(2024, 0, b"\0\x18\0\0")]


def test_values():
    drive = Drive(Car({0x0C, 0x0D, 0x10}))
    drive.enable()
    drive.pass_time(3)
    values = {each.name: each.value for each in drive.bench.messages() if isinstance(each, SimpleMessage)}
    assert values == {"engine_speed": 1726, "vehicle_speed": 64, "mass_airflow": 12.34}


def test_all_responders_count():
    drive = Drive(Car({0x0C, 0x0D}, {0x0D, 0x20, 0x2F}))
    drive.enable()
    drive.pass_time(1)
    assert drive.recurring().keys() == {0x0C, 0x0D, 0x2F}


def test_as_far_as_0x80():
    drive = Drive(Car({0x0D, 0x20, 0x40, 0x60, 0x63, 0x80, 0xA0}))
    drive.enable()
    drive.pass_time(2)
    assert [pid for pid in drive.asked() if pid % 0x20 == 0] == [0, 0x20, 0x40, 0x60, 0x80]
    assert drive.recurring().keys() == {0x0D, 0x63}


def test_a_lost_bitmap_is_asked_for_again():
    car = Car({0x0D, 0x20, 0x2F, 0x40, 0x4C})
    car.lose.update({0x20: 2, 0x40: 2})
    drive = Drive(car)
    drive.enable()
    drive.pass_time(4)
    assert drive.asked().count(0x20) == drive.asked().count(0x40) == 3
    assert drive.recurring().keys() == {0x0D, 0x2F, 0x4C}


def test_a_bitmap_that_never_comes():
    car = Car({0x0D, 0x20, 0x2F})
    car.lose[0x20] = 1000
    drive = Drive(car)
    drive.enable()
    drive.pass_time(20)
    assert drive.asked().count(0x20) == 3
    assert drive.recurring().keys() == {0x0D}


def test_disable_cancels_everything():
    drive = Drive(Car(ENGINE_PIDS))
    drive.bench.add(request(frequency=1.0))
    drive.enable()
    for _ in range(20):
        drive.pass_time(0.37)
        drive.disable()
        assert drive.machine.next_wakeup() is None
        assert [owner for owner, _ in drive.bench.manager.requests()] == ["app"]
        assert len(drive.bench.open) == 1
        drive.enable()


def test_enable_again_starts_over():
    drive = Drive(Car({0x0C, 0x0D}))
    drive.enable()
    drive.pass_time(3)
    drive.disable()
    sent = len(drive.bench.sent)
    drive.pass_time(10)
    assert len(drive.bench.sent) == sent
    drive.car.ecus = ({0x05, 0x0D},)
    drive.enable()
    drive.pass_time(1)
    assert drive.asked(sent)[:3] == [0x0D, 0x0C, 0x00]
    assert drive.recurring().keys() == {0x05, 0x0D}


def test_a_vehicle_gone_quiet_is_watched_again():
    drive = Drive(Car({0x0C, 0x0D}))
    drive.enable()
    drive.pass_time(3)
    drive.car.awake = False
    drive.pass_time(5)
    assert drive.recurring()
    drive.pass_time(1.5)
    assert not drive.recurring()
    sent = len(drive.bench.sent)
    drive.pass_time(20)
    assert len(drive.bench.sent) - sent == 20  # two looks every 2 s, no more
    drive.car.awake = True
    drive.pass_time(4)
    assert drive.recurring().keys() == {0x0C, 0x0D}


def test_negative_responses_do_not_start_it():
    class Refusing(Car):
        def respond(self, address, payload):
            yield ecu(0), b"\x7f\x01\x22"

    drive = Drive(Refusing())
    drive.enable()
    drive.pass_time(5)
    assert set(drive.asked()) == {0x0C, 0x0D}


def test_an_apps_own_request_stays():
    drive = Drive(Car({0x0C, 0x0D}))
    drive.bench.add(request(id=FUNCTIONAL_ID, frequency=1.0, name="mine"))
    drive.enable()
    drive.pass_time(2)
    assert drive.recurring().keys() == {0x0D}
    drive.disable()
    assert [each.name for _, each in drive.bench.manager.requests()] == ["mine"]


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_where_there_is_no_room(left):
    drive = Drive(Car(ENGINE_PIDS), requests_limit=10 + left)
    for pid in range(10):
        drive.bench.add(request(id=0x7E1, pid=pid, frequency=1e-5))
    drive.enable()
    drive.pass_time(30)
    assert len(drive.bench.manager) <= 10 + left
    drive.disable()
    assert len(drive.bench.manager) == 10


def test_a_bus_that_is_not_there():
    drive = Drive(Car(ENGINE_PIDS), bus=7)
    drive.enable()
    drive.pass_time(10)
    assert drive.machine.enabled
    assert drive.bench.sent == []


def test_recurring_requests_that_an_app_cancels_stay_away():
    drive = Drive(Car({0x0C, 0x0D}))
    drive.enable()
    drive.pass_time(2)
    drive.run(drive.bench.manager.cancel(request(id=FUNCTIONAL_ID), drive.bench.now))
    drive.pass_time(5)
    assert drive.recurring().keys() == {0x0D}
