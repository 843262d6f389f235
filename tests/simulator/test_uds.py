from __future__ import annotations

import pytest

from bridge.simulator.ecus import LOG, LOG_LENGTH, LONGEST, SECURED, SLOW, VIN, make_ecus, pattern
from bridge.simulator.security import DELAY, security_key
from bridge.simulator.services import P2
from bridge.simulator.uds import BOOT_TIME, S3

NOW = 30.0


class ScanTool:
    """A scan tool with one ECU; its clock stands still unless told otherwise."""

    def __init__(self, ecu, now: float = NOW) -> None:
        self.ecu = ecu
        self.now = now

    def __call__(self, request: str, *, functional: bool = False) -> str | None:
        """The final answer; what comes before it can only be responsePending."""
        answers = self.ecu.request(bytes.fromhex(request), self.now, functional)
        for pending in answers[:-1]:
            assert pending.payload.hex() == f"7f{request[:2]}78"
        if len(answers) > 1:
            self.now += answers[-1].delay
        return answers[-1].payload.hex() if answers else None

    def seed(self, level: int = 1) -> bytes:
        answer = self(f"27{level:02x}")
        assert answer.startswith(f"67{level:02x}")
        return bytes.fromhex(answer[4:])

    def unlock(self, session: str = "03", level: int = 1) -> None:
        assert self(f"10{session}").startswith("50")
        key = security_key(self.seed(level), level).hex()
        assert self(f"27{level + 1:02x}{key}") == f"67{level + 1:02x}"


@pytest.fixture
def tester(driving) -> ScanTool:
    """With the engine's ECU of a car that drives."""
    return ScanTool(make_ecus(driving)[0])


@pytest.fixture
def garage(parked) -> ScanTool:
    """With the engine's ECU of a car that stands."""
    return ScanTool(make_ecus(parked)[0])


# Every refusal, by the name that ISO 14229-1 gives it. A session in front of the request is entered first.

REFUSALS = [
    ("serviceNotSupported", "", "84", 0x11),
    ("serviceNotSupported", "", "35001122", 0x11),
    ("serviceNotSupportedInActiveSession", "", "2701", 0x7F),
    ("serviceNotSupportedInActiveSession", "", "2ed11041", 0x7F),
    ("serviceNotSupportedInActiveSession", "", "280301", 0x7F),
    ("serviceNotSupportedInActiveSession", "", "8502", 0x7F),
    ("subFunctionNotSupported", "", "1004", 0x12),
    ("subFunctionNotSupported", "", "1000", 0x12),
    ("subFunctionNotSupported", "", "1104", 0x12),
    ("subFunctionNotSupported", "", "1907ff", 0x12),
    ("subFunctionNotSupported", "", "3e01", 0x12),
    ("subFunctionNotSupported", "", "31040301", 0x12),
    ("subFunctionNotSupported", "03", "2705", 0x12),
    ("subFunctionNotSupported", "03", "8503", 0x12),
    ("subFunctionNotSupported", "03", "280401", 0x12),
    ("subFunctionNotSupportedInActiveSession", "03", "2703", 0x7E),
    ("incorrectMessageLength", "", "10", 0x13),
    ("incorrectMessageLength", "", "100300", 0x13),
    ("incorrectMessageLength", "", "110300", 0x13),
    ("incorrectMessageLength", "", "14ffff", 0x13),
    ("incorrectMessageLength", "", "14ffffff00", 0x13),
    ("incorrectMessageLength", "", "1901", 0x13),
    ("incorrectMessageLength", "", "1902ff00", 0x13),
    ("incorrectMessageLength", "", "190aff", 0x13),
    ("incorrectMessageLength", "", "190604200001ff", 0x13),
    ("incorrectMessageLength", "", "22", 0x13),
    ("incorrectMessageLength", "", "22f1", 0x13),
    ("incorrectMessageLength", "", "22f190f1", 0x13),
    ("incorrectMessageLength", "", "22" + "f190" * 9, 0x13),
    ("incorrectMessageLength", "03", "270100", 0x13),
    ("incorrectMessageLength", "03", "2702112233", 0x13),
    ("incorrectMessageLength", "03", "27021122334455", 0x13),
    ("incorrectMessageLength", "03", "2803", 0x13),
    ("incorrectMessageLength", "03", "2ed110", 0x13),
    ("incorrectMessageLength", "", "310103", 0x13),
    ("incorrectMessageLength", "", "3101030100", 0x13),
    ("incorrectMessageLength", "", "3e", 0x13),
    ("incorrectMessageLength", "", "3e0000", 0x13),
    ("responseTooLong", "", "22fd00fd01", 0x14),
    ("conditionsNotCorrect", "", "1002", 0x22),  # the car drives
    ("conditionsNotCorrect", "", "1101", 0x22),
    ("conditionsNotCorrect", "", "1102", 0x22),
    ("requestSequenceError", "03", "270211223344", 0x24),
    ("requestSequenceError", "", "31020301", 0x24),
    ("requestSequenceError", "", "31030301", 0x24),
    ("requestOutOfRange", "", "140a0b0c", 0x31),
    ("requestOutOfRange", "", "22ffff", 0x31),
    ("requestOutOfRange", "", "22ffffeeee", 0x31),
    ("requestOutOfRange", "", "22f499", 0x31),
    ("requestOutOfRange", "", "1906ffffff01", 0x31),
    ("requestOutOfRange", "", "190604200002", 0x31),
    ("requestOutOfRange", "", "3101ffff", 0x31),
    ("requestOutOfRange", "03", "280300", 0x31),
    ("requestOutOfRange", "03", "2ef19041", 0x31),  # nobody changes the VIN
    ("requestOutOfRange", "03", "2effff41", 0x31),
    ("securityAccessDenied", "", "22fd02", 0x33),
    ("securityAccessDenied", "03", "2ed11041", 0x33),
    ("securityAccessDenied", "03", "3101ff00", 0x33),
]


@pytest.mark.parametrize(("name", "session", "request_", "code"), REFUSALS, ids=str)
def test_refusals(tester, name, session, request_, code):
    if session:
        assert tester(f"10{session}").startswith("50")
    assert tester(request_) == f"7f{request_[:2]}{code:02x}"


@pytest.mark.parametrize(("name", "session", "request_", "code"), REFUSALS, ids=str)
def test_refusals_of_functional_requests(tester, name, session, request_, code):
    if session:
        tester(f"10{session}")
    expected = None if code in (0x11, 0x12, 0x31, 0x7E, 0x7F) else f"7f{request_[:2]}{code:02x}"
    assert tester(request_, functional=True) == expected


@pytest.mark.parametrize("request_", ["41", "62f190", "7f2231", "c3", ""])
def test_answers_of_others_are_no_requests(tester, request_):
    assert tester(request_) is None


# Sessions


def test_sessions_and_their_timing(tester, garage):
    assert tester("1001") == "5001003201f4"
    assert tester("1003") == "5003003201f4"
    assert garage("1002") == "5002003201f4"


def test_a_session_ends_without_requests(tester):
    tester("1003")
    tester.now += S3 - 0.01
    assert tester("22f186") == "62f18603"
    tester.now += S3
    assert tester("22f186") == "62f18601"
    assert tester("2701") == "7f277f"


def test_tester_present_keeps_it(tester):
    tester("1003")
    for _ in range(5):
        tester.now += S3 - 1
        assert tester("3e80", functional=True) is None
    assert tester("3e00") == "7e00"
    assert tester("22f186") == "62f18603"


def test_a_positive_answer_can_be_unwanted_but_a_negative_one_comes(tester):
    assert tester("1083") is None
    assert tester("22f186") == "62f18603"
    assert tester("1084") == "7f1012"
    assert tester("2785") == "7f2712"


def test_an_answer_comes_soon(tester):
    (answer,) = tester.ecu.request(bytes.fromhex("3e00"), NOW)
    assert 0 < answer.delay < P2


# Reset


def test_a_reset_ends_everything_and_takes_a_moment(garage):
    garage.unlock()
    assert garage("1101") == "5101"
    assert garage("3e00") is None
    garage.now += BOOT_TIME + 0.1
    assert garage("22f186") == "62f18601"
    assert garage("22fd02") == "7f2233"


def test_a_soft_reset_is_possible_on_the_road(tester):
    assert tester("1183") is None
    assert tester("3e00") is None
    tester.now += BOOT_TIME + 0.1
    assert tester("3e00") == "7e00"


# Trouble codes: the same as OBD-II's


def test_lists_the_codes_of_mode_03_and_07(tester):
    assert tester("03") == "43010420"
    assert tester("190208") == "59025d" + "04200008"
    assert tester("190204") == "59025d" + "01710005"
    assert tester("1902ff") == "59025d" + "04200008" + "01710005"
    assert tester("190200") == "59025d"
    assert tester("190108") == "59015d010001"
    assert tester("1901ff") == "59015d010002"
    assert tester("190a") == "590a5d" + "04200008" + "01710005"
    assert tester("190604200001") == "5906" + "04200008" + "0103"
    assert tester("1906042000ff") == "5906" + "04200008" + "0103"


def test_clears_all_codes_for_obd_too(tester):
    assert tester("14ffffff") == "54"
    assert tester("19020d") == "59025d"
    assert tester("03") == "4300"
    assert tester("0131") == "41310000"


def test_clears_one_code(tester):
    assert tester("14042000") == "54"
    assert tester("03") == "4300"
    assert tester("07") == "47010171"
    assert tester("0131") != "41310000"


def test_faults_go_unnoticed_while_the_setting_is_off(tester):
    tester("1003")
    assert tester("8502") == "c502"
    tester("14ffffff")
    for _ in range(40):
        tester.now += 4
        tester("3e80")
    assert tester("19020d") == "59025d"
    assert tester("8501") == "c501"
    assert tester("19020d") != "59025d"


# Data


@pytest.mark.parametrize(
    ("did", "data"),
    [(0xF190, VIN.encode()), (LOG, pattern(LOG_LENGTH)), (0xF187, b"OXB-12A650-ENG"), (0xF186, b"\x01")],
)
def test_reads_data(tester, did, data):
    assert tester(f"22{did:04x}") == f"62{did:04x}" + data.hex()


def test_the_longest_answer_fills_an_isotp_message(tester):
    assert len(tester(f"22{LONGEST:04x}")) // 2 == 4095


def test_reads_several_and_leaves_out_what_it_has_not(tester):
    answer = bytes.fromhex(tester("22f190ffffd100"))
    assert answer[:3] == b"\x62\xf1\x90"
    assert answer[20:22] == b"\xd1\x00"
    assert len(answer) == 24


def test_live_data(driving, tester):
    assert int(tester("22d100")[6:], 16) == round(driving.powertrain.engine_speed)
    assert int(tester("22d102")[6:], 16) == round(1000 * driving.powertrain.fuel)
    transmission = ScanTool(make_ecus(driving)[1])
    assert int(transmission("22d200")[6:], 16) == driving.powertrain.gear
    assert int(transmission("22d201")[6:], 16) / 10 - 500 == pytest.approx(driving.powertrain.output_torque, abs=0.06)


def test_the_gear_of_a_parked_car(parked):
    assert ScanTool(make_ecus(parked)[1])("22d200") == "62d20000"


@pytest.mark.parametrize(
    ("obd", "uds"), [("010c", "22f40c"), ("0100", "22f400"), ("0902", "22f802"), ("0900", "22f800")]
)
def test_obd_data_by_identifier(tester, obd, uds):
    """ISO 14229-1 annex C: F4xx mirrors mode 01, F8xx mode 09."""
    assert tester(uds)[6:] == tester(obd)[4:]


def test_slow_data_asks_for_patience_first(tester):
    pending, final = tester.ecu.request(bytes.fromhex(f"22{SLOW:04x}"), NOW)
    assert pending.payload.hex() == "7f2278"
    assert pending.delay < P2 < final.delay
    assert final.payload.hex() == f"62{SLOW:04x}" + pattern(8).hex()


def test_a_busy_ecu_says_so(tester):
    _, final = tester.ecu.request(bytes.fromhex(f"22{SLOW:04x}"), NOW)
    tester.now = NOW + final.delay / 2
    assert tester("22f190") == "7f2221"
    assert tester("010c") == "7f0121"
    assert tester("3e00") == "7e00"
    tester.now = NOW + final.delay
    assert tester("22f190").startswith("62f190")


def test_writes_what_may_be_written(tester):
    tester.unlock()
    assert tester("2ed110" + b"hello".hex()) == "6ed110"
    assert tester("22d110") == "62d110" + b"hello".hex()
    assert tester("2ed110" + "41" * 64) == "6ed110"
    assert tester("2ed110" + "41" * 65) == "7f2e13"
    assert tester("2ef199202611") == "7f2e13"
    assert tester("2ef19920261121") == "6ef199"


# Security


def test_the_documented_algorithm():
    assert security_key(bytes.fromhex("00000000"), 1).hex() == "7ac21a12"
    assert security_key(bytes.fromhex("4f584342"), 1).hex() == "00000000"
    assert security_key(bytes.fromhex("12345678"), 3) != security_key(bytes.fromhex("12345678"), 1)


def test_unlocks(tester):
    assert tester(f"22{SECURED:04x}") == "7f2233"
    tester.unlock()
    assert tester(f"22{SECURED:04x}") == f"62{SECURED:04x}" + pattern(16).hex()
    assert tester("2701") == "670100000000"  # no key needed any more


def test_a_seed_stays_until_it_is_used(tester):
    tester("1003")
    seed = tester.seed()
    assert tester.seed() == seed
    assert tester("270200000000") == "7f2735"
    assert tester("270200000000") == "7f2724"
    assert tester.seed() != seed


def test_a_new_session_locks(tester):
    tester.unlock()
    tester("1003")
    assert tester(f"22{SECURED:04x}") == "7f2233"
    tester.unlock()
    tester.now += S3
    assert tester(f"22{SECURED:04x}") == "7f2233"


def test_three_wrong_keys_bring_a_delay(tester):
    tester("1003")
    for code in ("35", "35", "36"):
        tester.seed()
        assert tester("270200000000") == f"7f27{code}"
    assert tester("2701") == "7f2737"
    tester("1003")
    assert tester("2701") == "7f2737"
    tester.now += DELAY - 0.1
    tester("1003")
    assert tester("2701") == "7f2737"
    tester.now += 0.1
    tester.unlock()


def test_levels_are_apart(garage):
    garage("1002")
    assert garage("2701") == "7f277e"
    seed = garage.seed(3)
    assert garage("2704" + security_key(seed, 1).hex()) == "7f2735"
    garage.unlock("02", 3)


# Routines


def test_a_routine_that_runs(tester):
    assert tester("31010301") == "7101030101"
    assert tester("31010301") == "7f3124"
    assert tester("31030301") == "7103030101"
    tester.now += 3
    assert tester("31030301") == "710303010009c4"
    assert tester("31020301") == "7f3124"


def test_a_routine_that_is_stopped(tester):
    tester("31010301")
    assert tester("31020301") == "7102030102"
    assert tester("31030301") == "7103030102"
    assert tester("31010301") == "7101030101"


def test_a_routine_that_takes_long_asks_for_patience(tester):
    pending, final = tester.ecu.request(bytes.fromhex("31010302"), NOW)
    assert pending.payload.hex() == "7f3178"
    assert final.payload.hex() == "71010302000b"
    assert final.delay > P2


def test_what_was_pending_is_answered_even_if_unwanted(tester):
    assert tester("31810302") == "71010302000b"


def test_a_routine_at_once(tester):
    assert tester("31010203") == "7101020300"
    assert tester("31030203") == "7103020300"


def test_erasing_takes_an_unlocked_programming_session(garage):
    garage.unlock()
    assert garage("3101ff00") == "7f3133"
    garage("1002")
    assert garage("3101ff00") == "7f3133"
    garage.unlock("02", 3)
    assert garage("3101ff00") == "7101ff0000"


def test_the_end_of_a_session_ends_routines(tester):
    tester("1003")
    tester("31010301")
    tester.now += S3
    assert tester("31030301") == "7f3124"


# Communication control


def test_an_ecu_can_be_silenced_until_the_session_ends(tester):
    tester("1003")
    assert tester("280301") == "6803"
    assert not tester.ecu.transmits(tester.now)
    assert tester("280302") == "6803"  # network management only
    assert tester("280001") == "6800"
    assert tester.ecu.transmits(tester.now)
    tester("280101")
    assert not tester.ecu.transmits(tester.now)
    assert tester.ecu.transmits(tester.now + S3)
