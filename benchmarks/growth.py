"""How cost grows: with the signals of a frame, with the clients, with the buses."""

from __future__ import annotations

from functools import partial

from benchmarks import fanout, payload
from benchmarks.codec import JSON, PROTOBUF, obvious_signals, translator
from benchmarks.measuring import Effort, Figure, Report, Table, amount, contest, repeated
from bridge import codec

SIGNALS = (1, 2, 4, 8, 16)
CLIENTS = (1, 10, 100, 300, 1000)
BUSES = (1, 4, 16)
CLIENTS_OF_BUSES = 10
RUNS = 5


def measure(effort: Effort) -> Report:
    """All three tables."""
    clients, buses = (CLIENTS[::2], BUSES[1:]) if effort.quick else (CLIENTS, BUSES)
    return Report(
        tables=[
            signals_per_frame(effort),
            _fanout("Clients on one saturated bus", [(count, 1) for count in clients], effort),
            _fanout(
                f"Saturated buses, {CLIENTS_OF_BUSES} clients", [(CLIENTS_OF_BUSES, count) for count in buses], effort
            ),
        ],
        notes=[
            "All clients are one process on the other core. Where latency grows with them but the daemon's share of a "
            "core does not, that process and the kernel's loopback are full, not the daemon."
        ],
    )


def signals_per_frame(effort: Effort) -> Table:
    """The codec and its peer, with 8 bytes divided among more and more signals."""
    contestants = {}
    run = partial(repeated, items=payload.FRAMES, seconds=effort.run_seconds / 2)
    batch = payload.batch()
    for count in SIGNALS:
        text = payload.database(_evenly(count))
        plan = payload.plan(text)
        contestants[f"json {count}"] = run(partial(translator(plan, JSON).translate, batch))
        contestants[f"protobuf {count}"] = run(partial(translator(plan, PROTOBUF).translate, batch))
        contestants[f"peer {count}"] = run(obvious_signals(text, batch))
    figures = contest(contestants, RUNS)

    def line(count: int) -> tuple[str, ...]:
        ours, protobuf, peer = (figures[f"{name} {count}"].median for name in ("json", "protobuf", "peer"))
        return (
            str(count),
            f"{amount(ours)} frames/s",
            f"{1e9 / ours / count:,.0f} ns",
            f"{amount(protobuf)} frames/s",
            f"{amount(peer)} frames/s",
            f"{ours / peer:.1f} x",
        )

    heads = ("signals", "JSON", "a signal", "protobuf", "cantools + json.dumps", "ratio (JSON)")
    return Table(f"Signals a frame ({codec.IMPLEMENTATION} codec)", heads, [line(count) for count in SIGNALS])


def _evenly(count: int) -> dict[str, str]:
    """64 bits divided among so many signals; those of one bit or two have no use for decimals, but all get some."""
    size = min(16, 64 // count)
    return {f"signal{number}": f"{number * size}|{size}@1+ (0.25,0)" for number in range(count)}


def _fanout(title: str, cases: list[tuple[int, int]], effort: Effort) -> Table:
    seconds = 0.5 if effort.quick else 1.5
    results: dict[tuple[int, int], list[fanout.Fanout]] = {case: [] for case in cases}
    for _ in range(1 if effort.quick else RUNS):
        for clients, buses in cases:
            results[clients, buses].append(fanout.measure(clients, buses=buses, seconds=seconds))

    def line(clients: int, buses: int) -> tuple[str, ...]:
        runs = results[clients, buses]
        figures = {
            name: Figure(tuple(getattr(run, name) for run in runs))
            for name in ("cpu", "p50", "p99", "records_per_second")
        }
        delivered = Figure(tuple(run.records_per_second * clients for run in runs))
        return (
            f"{clients:,}",
            str(buses),
            figures["cpu"].text("%"),
            figures["p50"].text("ms"),
            figures["p99"].text("ms"),
            f"{amount(delivered.median)}/s",
            f"{sum(run.records_lost for run in runs):,}",
        )

    heads = ("clients", "buses", "of a core", "p50", "p99", "records delivered", "lost")
    return Table(f"{title} ({codec.IMPLEMENTATION} codec)", heads, [line(*case) for case in cases])
