"""A database's messages added to a profile: `--profile passthrough --dbc car.dbc`.

Must not know where either comes from.
"""

from __future__ import annotations

from dataclasses import replace

from bridge.profile.errors import ProfileError
from bridge.profile.plan import Message, Plan, message_order


def merge(plan: Plan, database: Plan, bus: int | None = None) -> Plan:
    """The plan with the messages of a database on its buses.

    Args:
        plan: the profile; what it says of its buses stands.
        database: the plan of a database; its first bus is the plan's bus `bus`, its second the next one.
        bus: None is the plan's first bus.

    Raises:
        ProfileError: the profile has no such bus, or defines an id or a published name of the database too.
    """
    if not plan.buses:
        return replace(
            plan, buses=database.buses, messages=database.messages, warnings=plan.warnings + database.warnings
        )
    numbers = [known.number for known in plan.buses if bus is None or known.number >= bus]
    if len(numbers) < len(database.buses) or (bus is not None and bus not in numbers):
        wanted = f"{len(database.buses)} buses from {'the first' if bus is None else bus} on"
        raise ProfileError(f"{database.name} needs {wanted}; the profile {plan.name} has {len(numbers)}")
    number_of = {known.number: number for known, number in zip(database.buses, numbers, strict=False)}
    added = [replace(message, bus=number_of[message.bus]) for message in database.messages]
    _refuse_clashes(plan, database.name, added)
    return replace(
        plan,
        messages=tuple(sorted((*plan.messages, *added), key=message_order)),
        warnings=plan.warnings + database.warnings,
    )


def _refuse_clashes(plan: Plan, database: str, added: list[Message]) -> None:
    messages: dict[tuple[int, int], Message] = {}
    names: dict[str, Message] = {}
    for message in plan.messages:
        messages[message.bus, message.id] = message
        names.update((signal.name, message) for signal in message.signals)
    for message in added:
        known = messages.get((message.bus, message.id))
        if known is not None and (known.extended == message.extended or None in (known.extended, message.extended)):
            raise ProfileError(
                f"{database}: message {message.name}: the profile {plan.name} defines 0x{message.id:x} "
                f"on bus {message.bus} too"
            )
        for signal in message.signals:
            if signal.name in names:
                raise ProfileError(
                    f"{database}: message {message.name}, signal {signal.key}: the profile {plan.name} publishes "
                    f"{signal.name} too, in its message {names[signal.name].name}"
                )
