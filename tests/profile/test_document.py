from decimal import Decimal
from pathlib import PurePath

import pytest

from bridge.profile.document import JsonObject, merged, normalised, parse, place_of, with_parents
from bridge.profile.errors import ProfileError

CAR = PurePath("car.json")


def objects(value, file=CAR):
    """A dict as the parser makes it."""
    if isinstance(value, dict):
        return JsonObject([(key, objects(item, file)) for key, item in value.items()], file)
    return value


def test_decimals_stay_as_written():
    assert parse('{"factor": 0.1500, "offset": -40}', CAR) == {"factor": Decimal("0.1500"), "offset": -40}
    assert str(parse('{"factor": 0.1500}', CAR)["factor"]) == "0.1500"


def test_byte_order_mark_is_skipped():
    assert parse('\ufeff{"name": "x"}', CAR) == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"name": }', "car.json: line 1, column 10: Expecting value"),
        ('{\n "a": 1,\n}', "car.json: line "),
        ("[]", "car.json: a profile is a JSON object, in braces"),
        ("", "car.json: line 1, column 1: Expecting value"),
        ('{"a": NaN}', "car.json: NaN is no JSON number"),
        ('{"a": -Infinity}', "car.json: -Infinity is no JSON number"),
        ('{"name": 1, "name": 2}', 'car.json: key "name" stands twice'),
        ('{"messages": {"1": {}, "1": {}}}', 'car.json: messages: key "1" stands twice'),
        (
            '{"messages": {"1": {"signals": {"S": {"unit": "a", "unit": "a"}}}}}',
            'car.json: message 1, signal S: key "unit" stands twice',
        ),
        ('{"mappings": [{}, {"bus": 1, "bus": 1}]}', 'car.json: mapping 2: key "bus" stands twice'),
        ('{"name": "\\ud800"}', 'car.json: name: the text "\\ud800" is no valid Unicode'),
        ('{"\\ud800": 1}', 'car.json: the text "\\ud800" is no valid Unicode'),
        ("[" * 100_000, "car.json: "),
        ('{"a":' + "[" * 20 + "]" * 20 + "}", "car.json: nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "car.json: "),
    ],
)
def test_refused(text, error):
    with pytest.raises(ProfileError) as caught:
        parse(text, CAR)
    assert str(caught.value).startswith(error)
    assert "\n" not in str(caught.value)


def test_places():
    assert place_of(()) == ""
    assert place_of(("messages", "0x49", "signals", "ENGINE", "states")) == "message 0x49, signal ENGINE, states: "
    assert place_of(("name",)) == "name: "


def test_merging_is_deep_extends_lists_and_remembers_files():
    under = objects({"a": {"x": 1, "y": 1}, "list": [1], "only": 1, "mixed": [1]}, PurePath("base.json"))
    over = objects({"a": {"y": 2, "z": 2}, "list": [2], "mixed": 3})
    both = merged(under, over)
    assert both == {"a": {"x": 1, "y": 2, "z": 2}, "list": [1, 2], "only": 1, "mixed": 3}
    assert both.file_of("only") == PurePath("base.json")
    assert both["a"].file_of("x") == PurePath("base.json")
    assert both["a"].file_of("y") == CAR
    assert both.file_of("nothing") == CAR


def test_multiplexers_do_not_mix():
    under = objects({"multiplexer": {"signal": "M", "values": [1]}})
    over = objects({"multiplexer": {"signal": "M", "values": [2]}})
    assert merged(under, over) == over


def reader(**files):
    texts = {name + ".json": text for name, text in files.items()}

    def read(path):
        assert str(path) in texts, path
        return texts[str(path)]

    return read


def test_parents_are_merged_under():
    read = reader(
        car='{"parents": ["near.json", "far.json"], "a": 1}',
        near='{"parents": ["far.json"], "a": 2, "b": 2, "list": ["near"]}',
        far='{"a": 3, "b": 3, "c": 3, "list": ["far"]}',
    )
    assert with_parents(CAR, read) == {"a": 1, "b": 2, "c": 3, "list": ["far", "near"]}


def test_parents_are_relative_to_their_file():
    paths = []
    texts = {"car.json": '{"parents": ["base/a.json"]}', "base/a.json": '{"parents": ["../b.json"]}'}

    def read(path):
        paths.append(str(path))
        return texts.get(str(path), "{}")

    with_parents(CAR, read)
    assert paths == ["car.json", "base/a.json", "base/../b.json"]


@pytest.mark.parametrize("text", ['{"parents": ["car.json"]}', '{"parents": ["./x/../car.json"]}'])
def test_a_file_cannot_be_its_own_parent(text):
    with pytest.raises(ProfileError, match="has this file as a parent itself"):
        with_parents(CAR, reader(car=text))


def test_cycles_are_found():
    read = reader(car='{"parents": ["a.json"]}', a='{"parents": ["b.json"]}', b='{"parents": ["a.json"]}')
    with pytest.raises(ProfileError, match=r'^b.json: the parent "a.json" has this file as a parent itself$'):
        with_parents(CAR, read)


def test_endless_generations_end():
    def read(path):
        return f'{{"parents": ["{path.stem}x.json"]}}'

    with pytest.raises(ProfileError, match="more than 16 generations"):
        with_parents(CAR, read)


@pytest.mark.parametrize("parents", ['"a.json"', "[1]", "{}"])
def test_parents_must_be_paths(parents):
    with pytest.raises(ProfileError, match='"parents" must be a list of paths'):
        with_parents(CAR, reader(car=f'{{"parents": {parents}}}'))


@pytest.mark.parametrize(
    ("path", "name"), [("a/../b", "b"), ("../b", "../b"), ("/../b", "/../b"), ("/a/../b", "/b"), ("a/..", ".")]
)
def test_one_file_one_name(path, name):
    assert normalised(PurePath(path)) == PurePath(name)
