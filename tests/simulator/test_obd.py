from __future__ import annotations

import pytest

from bridge.simulator.ecus import VIN, make_ecus
from bridge.simulator.obd import ENGINE_PARAMETERS, TRANSMISSION_PARAMETERS, bitmap
from bridge.simulator.vehicle import Vehicle

NOW = 30.0


@pytest.fixture
def engine(driving):
    return make_ecus(driving)[0]


@pytest.fixture
def transmission(driving):
    return make_ecus(driving)[1]


def ask(ecu, request: str, now: float = NOW, functional: bool = False) -> str | None:
    answers = ecu.request(bytes.fromhex(request), now, functional)
    assert len(answers) <= 1
    return answers[0].payload.hex() if answers else None


def supported(ecu) -> set[int]:
    """The PIDs, by walking the bitmaps as a scan tool does."""
    found, start = set(), 0
    while True:
        answer = bytes.fromhex(ask(ecu, f"01{start:02x}"))
        assert answer[:2] == bytes((0x41, start))
        bits = int.from_bytes(answer[2:], "big")
        found |= {start + number for number in range(1, 33) if bits & 1 << (32 - number)}
        if not bits & 1:
            return found
        start += 32


def test_the_bitmaps_tell_of_every_parameter_and_of_none_besides(engine, transmission):
    for ecu, parameters in ((engine, ENGINE_PARAMETERS), (transmission, TRANSMISSION_PARAMETERS)):
        found = supported(ecu)
        bitmaps = {pid for pid in found if pid % 32 == 0}
        assert found - bitmaps == set(parameters)
        for pid in range(1, 256):
            answer = ask(ecu, f"01{pid:02x}")
            if pid in found:
                assert answer.startswith(f"41{pid:02x}")
            else:
                assert answer == "7f0112"


@pytest.mark.parametrize(
    ("pids", "start", "expected"),
    [
        ({0x01, 0x20}, 0, "80000001"),
        ({0x04, 0x05, 0x0C}, 0, "18100000"),
        ({0x0C, 0x46}, 0, "00100001"),
        ({0x0C, 0x46}, 0x20, "00000001"),
        ({0x0C, 0x46}, 0x40, "04000000"),
        (set(), 0, "00000000"),
    ],
)
def test_bitmap(pids, start, expected):
    assert bitmap(pids, start).hex() == expected


@pytest.mark.parametrize(
    ("pid", "decode", "expect", "tolerance"),
    [
        (0x04, lambda b: b[0] * 100 / 255, lambda v: v.powertrain.engine_load, 0.3),
        (0x05, lambda b: b[0] - 40, lambda v: v.powertrain.coolant, 0.6),
        (0x0C, lambda b: (b[0] << 8 | b[1]) / 4, lambda v: v.powertrain.engine_speed, 0.2),
        (0x0D, lambda b: b[0], lambda v: v.speed * 3.6, 0.6),
        (0x0F, lambda b: b[0] - 40, lambda v: v.powertrain.intake_air, 0.6),
        (0x10, lambda b: (b[0] << 8 | b[1]) / 100, lambda v: v.powertrain.air_flow, 0.01),
        (0x11, lambda b: b[0] * 100 / 255, lambda v: v.powertrain.throttle, 0.3),
        (0x1F, lambda b: b[0] << 8 | b[1], lambda v: v.powertrain.run_time, 0.6),
        (0x2F, lambda b: b[0] * 100 / 255, lambda v: v.powertrain.fuel * 2, 0.3),
        (0x31, lambda b: b[0] << 8 | b[1], lambda v: 386, 1),
        (0x33, lambda b: b[0], lambda v: 98, 0),
        (0x42, lambda b: (b[0] << 8 | b[1]) / 1000, lambda v: 14.15, 0),
        (0x46, lambda b: b[0] - 40, lambda v: 19, 0),
        (0x5A, lambda b: b[0] * 100 / 255, lambda v: v.powertrain.accelerator, 0.3),
        (0x5C, lambda b: b[0] - 40, lambda v: v.powertrain.oil, 0.6),
        (0x5E, lambda b: (b[0] << 8 | b[1]) / 20, lambda v: v.powertrain.fuel_flow, 0.03),
        (0x62, lambda b: (b[0] - 125) * 2.4, lambda v: v.powertrain.engine_torque, 1.3),
        (0x63, lambda b: b[0] << 8 | b[1], lambda v: 240, 0),
        (0xA6, lambda b: int.from_bytes(b, "big") / 10, lambda v: v.odometer, 0.06),
    ],
)
def test_parameters_say_what_the_vehicle_does(driving, engine, pid, decode, expect, tolerance):
    answer = bytes.fromhex(ask(engine, f"01{pid:02x}"))
    assert answer[:2] == bytes((0x41, pid))
    assert decode(answer[2:]) == pytest.approx(expect(driving), abs=tolerance)


def test_parameters_of_a_parked_car(parked):
    engine = make_ecus(parked)[0]
    assert ask(engine, "010c", 0.0) == "410c0000"
    assert ask(engine, "0103", 0.0) == "41030000"
    assert int(ask(engine, "0142", 0.0)[4:], 16) == 12400


def test_several_pids_in_one_request(engine):
    answer = ask(engine, "010c0d99330b05")
    assert (answer[:4], len(answer) // 2) == ("410c", 1 + 3 + 2 + 2 + 2 + 2)
    assert answer[8:10] == "0d"
    assert "3362" in answer


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize(
    "request_",
    (
        *("01", "0199", "01999a", "010c0d0f1011051f", "0300", "0400", "0700", "0a00", "09", "0999", "090204"),
        *("02", "0204", "029900", "020401", "020400040004000400"),
    ),
)
def test_malformed_or_unknown_is_an_invalid_format(engine, request_, functional):
    """SAE J1979: 0x12 when asked physically, silence when asked functionally."""
    expected = None if functional else f"7f{request_[:2]}12"
    assert ask(engine, request_, functional=functional) == expected


@pytest.mark.parametrize("mode", ["00", "05", "06", "08"])
def test_modes_that_are_not_there(engine, mode):
    assert ask(engine, mode) == f"7f{mode}11"
    assert ask(engine, mode, functional=True) is None


def test_trouble_codes(engine, transmission):
    assert ask(engine, "03") == "43010420"
    assert ask(engine, "07") == "47010171"
    assert ask(engine, "0a") == "4a010420"
    assert ask(transmission, "03") == "4301c100"
    assert ask(transmission, "07") == "4700"
    assert ask(transmission, "0a") == "4a00"


def test_the_lamp_and_the_number_of_codes(engine):
    assert ask(engine, "0101") == "410181076500"
    ask(engine, "04")
    assert ask(engine, "0101") == "410100076500"


def test_clearing_codes_and_their_return(engine, driving):
    assert ask(engine, "04") == "44"
    assert ask(engine, "03") == "4300"
    assert ask(engine, "07") == "4700"
    assert ask(engine, "0a") == "4a010420"  # a permanent one stays
    assert ask(engine, "0131") == "41310000"
    assert ask(engine, "0121") == "41210000"
    assert ask(engine, "07", NOW + 61) == "47010171"
    assert ask(engine, "03", NOW + 500) == "430204200171"


def test_the_freeze_frame(engine):
    assert ask(engine, "020200") == "4202000420"
    assert ask(engine, "020c00") == "420c0026ac"
    assert ask(engine, "02040005000d00") == "420400600500830d005c"
    assert ask(engine, "020000") == "42000058180000"
    ask(engine, "04")
    assert ask(engine, "020200") == "4202000000"
    assert ask(engine, "020c00") == "7f0212"


def test_vehicle_information(engine, transmission):
    assert ask(engine, "0900") == "490054400000"
    assert bytes.fromhex(ask(engine, "0902")) == b"\x49\x02\x01" + VIN.encode()
    assert bytes.fromhex(ask(engine, "0904"))[3:] == b"OXCB-ENG-24.1\0\0\0"
    assert len(ask(engine, "0906")) // 2 == 7
    assert bytes.fromhex(ask(engine, "090a")) == b"\x49\x0a\x01ECM\0-EngineControl\0\0"
    assert bytes.fromhex(ask(transmission, "090a"))[3:].startswith(b"TCM\0-")


def test_the_vin_has_the_right_check_digit_and_no_real_manufacturer():
    letters = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", [*range(1, 9), *range(1, 6), 7, 9, *range(2, 10)], strict=True))
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    assert len(VIN) == 17
    rest = sum((letters[c] if c in letters else int(c)) * weight for c, weight in zip(VIN, weights, strict=True)) % 11
    assert VIN[8] == "0123456789X"[rest]
    assert VIN[0] == "0"


def test_the_engine_warms_up_and_the_tester_sees_it():
    vehicle = Vehicle(seed=2)
    engine = make_ecus(vehicle)[0]
    seen = []
    for now in range(0, 600, 5):
        vehicle.advance(float(now))
        seen.append(int(ask(engine, "0105", float(now))[4:], 16) - 40)
    assert seen == sorted(seen)
    assert seen[0] < 40
    assert seen[-1] > 80
