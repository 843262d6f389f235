"""The limit of open files, raised as far as it goes."""

from __future__ import annotations

import logging
import resource

import pytest

from bridge.cli.descriptors import allow_descriptors
from bridge.limits import DESCRIPTORS_MARGIN

UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture
def limit_after(monkeypatch):
    """What the soft limit is afterwards, for a system with these limits."""

    def limit_after(soft, hard, clients, *, gateway=False):
        limits = [(soft, hard)]

        def change(_, wanted):
            if wanted[0] > 1 << 20:
                raise ValueError("not allowed to raise maximum limit")
            limits.append(wanted)

        monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
        monkeypatch.setattr(resource, "setrlimit", change)
        allow_descriptors(clients, gateway=gateway)
        return limits[-1][0]

    return limit_after


def test_a_limit_that_is_enough_is_left_alone(limit_after, caplog):
    assert limit_after(1024, 4096, 256) == 1024
    assert limit_after(UNLIMITED, UNLIMITED, 1 << 21) == UNLIMITED
    assert not caplog.records


def test_it_is_raised_as_far_as_needed(limit_after, caplog):
    assert limit_after(256, 4096, 256) == 256 + DESCRIPTORS_MARGIN
    assert limit_after(256, UNLIMITED, 256) == 256 + DESCRIPTORS_MARGIN
    assert limit_after(256, 4096, 256, gateway=True) == 2 * (256 + DESCRIPTORS_MARGIN)  # it takes half of them
    assert not caplog.records


@pytest.mark.parametrize(("soft", "hard", "clients", "reached"), [(64, 300, 256, 300), (64, UNLIMITED, 1 << 21, 64)])
def test_where_that_does_not_do_a_line_tells(limit_after, caplog, soft, hard, clients, reached):
    caplog.set_level(logging.WARNING)
    assert limit_after(soft, hard, clients) == reached
    (record,) = caplog.records
    assert f"limits.clients is {clients}, but only {reached} files may be open" in record.getMessage()
