from decimal import Decimal
from pathlib import PurePath

import pytest

from bridge.profile.candb_xml import CandbDatabase
from bridge.profile.errors import ProfileError

FILE = PurePath("db.xml")


def export(body):
    return f"<NetworkDB><Node><TxMessage><ID>0x1ab</ID><Name>M</Name>{body}</TxMessage></Node></NetworkDB>"


def signal(name="S", **elements):
    inside = "".join(f"<{tag}>{text}</{tag}>" for tag, text in elements.items())
    return f"<Signal><Name>{name}</Name>{inside}</Signal>"


def test_message_and_signals():
    text = export(signal(Bitposition=" 8 ", Bitsize=4, Factor="1e-2", Offset="0", Minimum=0, Maximum=1) + signal("T"))
    message = CandbDatabase(text, FILE).message(0x1AB, ["S", "X"])
    assert message == {
        "name": "M",
        "signals": {
            "S": {
                "bit_position": 8,
                "bit_size": 4,
                "factor": Decimal("0.01"),
                "offset": 0,
                "min_value": 0,
                "max_value": 1,
            }
        },
    }
    assert message.file_of("name") == FILE


@pytest.mark.parametrize("identifier", ["0x1AB", "0x1ab", "427"])
def test_ids_in_any_spelling(identifier):
    database = CandbDatabase(export("").replace("0x1ab", identifier), FILE)
    assert database.message(0x1AB, []) == {"name": "M", "signals": {}}
    assert database.message(0x1AC, []) is None


def test_the_first_of_two_counts():
    text = export(signal(Bitsize=1) + signal(Bitsize=2))
    assert CandbDatabase(text, FILE).message(0x1AB, ["S"])["signals"]["S"] == {"bit_size": 1}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "db.xml: no CANdb\\+\\+ XML export"),
        ("VERSION", "db.xml: no CANdb\\+\\+ XML export"),
        ("<a><b></a>", "db.xml: no CANdb\\+\\+ XML export"),
        ("\0", "db.xml: no CANdb\\+\\+ XML export"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "db.xml: XML with a document type is refused"),
    ],
)
def test_refused_files(text, error):
    with pytest.raises(ProfileError, match=error):
        CandbDatabase(text, FILE)


def test_entities_do_not_grow():
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><a>&e11;</a>'
    with pytest.raises(ProfileError, match="document type"):
        CandbDatabase(text, FILE)


@pytest.mark.parametrize("number", ["x", "NaN", "Infinity", "1.5.5"])
def test_refused_numbers(number):
    database = CandbDatabase(export(signal(Factor=number)), FILE)
    with pytest.raises(ProfileError, match=r"^db.xml: message 0x1ab, signal S: Factor is "):
        database.message(0x1AB, ["S"])
