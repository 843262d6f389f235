"""Agenda, against the plain dictionary that it is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.diagnostics.agenda import Agenda

KEYS = st.integers(0, 5)
TIMES = st.integers(0, 20)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), KEYS, TIMES),
            st.tuples(st.just("discard"), KEYS, TIMES),
            st.tuples(st.just("due"), KEYS, TIMES),
        ),
        max_size=200,
    )
)
def test_is_a_dictionary_of_times(operations):
    agenda, times = Agenda(), {}
    for operation, key, when in operations:
        match operation:
            case "set":
                agenda.set(key, when)
                times[key] = when
            case "discard":
                agenda.discard(key)
                times.pop(key, None)
            case "due":
                found = agenda.due(when)
                expected = {each for each, time in times.items() if time <= when}
                assert sorted(found) == sorted(expected)
                assert [times[each] for each in found] == sorted(times[each] for each in found)
                for each in expected:
                    del times[each]
        assert len(agenda) == len(times)
        assert agenda.next_time() == min(times.values(), default=None)


def test_moving_a_time_does_not_grow_it():
    agenda = Agenda()
    for when in range(10_000):
        agenda.set("a", when)
    assert len(agenda._heap) < 100
    assert agenda.due(9998) == []
    assert agenda.due(9999) == ["a"]
