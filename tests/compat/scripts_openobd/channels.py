"""Talks to the simulated vehicle's ECUs as scripts do; a line for each thing that was asked."""

from openobd import IsotpChannel, IsotpSocket, RawChannel, RawSocket
from openobd.communication.response_exceptions import NoResponseException, ResponseException
from vehicle import ENGINE, SUCCESS, claimed

session = claimed()


def ask(name: str, socket: IsotpSocket, *arguments, **keywords) -> None:
    try:
        print(name, socket.request(*arguments, **keywords))
    except ResponseException as error:
        print(name, type(error).__name__)


with IsotpSocket(session, ENGINE) as engine:
    ask("single", engine, "3E00")
    ask("multi", engine, "22F190")
    ask("lower", engine, "22f18c")
    ask("long", engine, "22FD01")
    ask("negative", engine, "2FFFFF")
    ask("pending", engine, "22FD10")
    engine.send("22FD10")  # 0x78, and while it works 0x21 to others
    ask("busy", engine, "22F190", timeout=5)
    ask("extended session", engine, "1003")
    ask("write", engine, "2ED110" + b"hello".hex())
    ask("silent", engine, "2FFFFF", silent=True)
with IsotpSocket(session, IsotpChannel(bus_name="hs", request_id=0x7DF, response_id=0x7E9)) as everybody:
    ask("functional", everybody, "0904")
with IsotpSocket(session, IsotpChannel(bus_name="hs", request_id=0x7E5, response_id=0x7ED)) as nobody:
    try:
        nobody.request("3E00", timeout=0.3)
    except NoResponseException as error:
        print("nobody", type(error).__name__)
with RawSocket(session, RawChannel(bus_name="hs", request_id=0x7E0, response_id=0x7E8)) as raw:
    raw.send("023E000000000000")
    print("raw", raw.receive(timeout=5))
configuration = session.get_configuration()
print("configuration", len(configuration.buses), len(configuration.channels))
session.finish(SUCCESS)
