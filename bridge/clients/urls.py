"""Listen URLs: what --listen and the configuration say about where apps connect.

Parsing opens nothing and asks no file; make_listener makes the listener, still closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.clients.listener import ClientPlaces, Listener, ListenerOptions
from bridge.clients.pty import PtyListener
from bridge.clients.serial import DEFAULT_BAUDRATE, SerialListener
from bridge.clients.tcp import TcpListener
from bridge.clients.unix import UnixListener
from bridge.errors import ConfigurationError
from bridge.limits import CLIENT_QUEUE_LIMIT
from bridge.openxc.messages import PayloadFormat
from bridge.ports import parse_port

_BAUDRATE_MAX = 2**31 - 1  # what the system's call takes
_FORMS = "tcp://HOST:PORT, unix:PATH, pty:LINK or serial:DEVICE@BAUD"


@dataclass(frozen=True, kw_only=True)
class ListenUrl:
    """What every listen URL may say. None means: as the rest of the configuration says."""

    allow_write: str | None = None  #: the kinds of writes that its clients may do, comma-separated, not yet checked
    payload_format: PayloadFormat | None = None


@dataclass(frozen=True, kw_only=True)
class TcpUrl(ListenUrl):
    """tcp://HOST:PORT; an IPv6 address in brackets; port 0 lets the system choose."""

    host: str
    port: int
    insecure: bool = False  #: permits hosts other than this one to connect


@dataclass(frozen=True, kw_only=True)
class UnixUrl(ListenUrl):
    """unix:PATH, a socket that apps of this machine connect to."""

    path: str


@dataclass(frozen=True, kw_only=True)
class PtyUrl(ListenUrl):
    """pty:LINK, a pseudo-terminal that apps open as a serial port."""

    link: str


@dataclass(frozen=True, kw_only=True)
class SerialUrl(ListenUrl):
    """serial:DEVICE@BAUD, a serial port with one app at its other end."""

    device: str
    baudrate: int = DEFAULT_BAUDRATE
    rtscts: bool = True  #: False for a cable without hardware flow control


AnyListenUrl = TcpUrl | UnixUrl | PtyUrl | SerialUrl


def parse_listen_url(text: str) -> AnyListenUrl:
    """What a listen URL means. Raises ConfigurationError, one line that names the URL and the cure."""
    if "\0" in text:
        raise ConfigurationError(f"--listen {text}: there is a NUL in it: leave it out")
    kind, colon, rest = text.partition(":")
    if not colon or kind not in {"tcp", "unix", "pty", "serial"}:
        raise ConfigurationError(f"--listen {text}: must be {_FORMS}")
    where, _, query = rest.partition("?")
    if kind == "tcp":
        host, port = _host_and_port(text, where)
        options = _Options(text, query, flags=("insecure",))
        insecure = options.flag("insecure")
        return TcpUrl(
            host=host,
            port=port,
            insecure=insecure,
            allow_write=options.allow_write,
            payload_format=options.payload_format,
        )
    where = where.removeprefix("//")
    if not where:
        raise ConfigurationError(f"--listen {text}: a path is missing after {kind}:")
    if kind == "serial":
        device, baudrate = _device_and_baudrate(text, where)
        options = _Options(text, query, flags=("no-rtscts",))
        return SerialUrl(
            device=device,
            baudrate=baudrate,
            rtscts=not options.flag("no-rtscts"),
            allow_write=options.allow_write,
            payload_format=options.payload_format,
        )
    options = _Options(text, query)
    if kind == "unix":
        return UnixUrl(path=where, allow_write=options.allow_write, payload_format=options.payload_format)
    return PtyUrl(link=where, allow_write=options.allow_write, payload_format=options.payload_format)


def make_listener(
    url: AnyListenUrl,
    *,
    grants: object = None,
    payload_format: PayloadFormat = PayloadFormat.JSON,
    places: ClientPlaces | None = None,
    queue_limit: int = CLIENT_QUEUE_LIMIT,
) -> Listener:
    """The listener that a URL names, not yet open. The URL's own payload format goes before the one given."""
    options = ListenerOptions(
        grants=grants, payload_format=url.payload_format or payload_format, places=places, queue_limit=queue_limit
    )
    match url:
        case TcpUrl():
            return TcpListener(url.host, url.port, insecure=url.insecure, **options)
        case UnixUrl():
            return UnixListener(_expanded(url.path), **options)
        case PtyUrl():
            return PtyListener(_expanded(url.link), **options)
        case SerialUrl():
            return SerialListener(url.device, url.baudrate, rtscts=url.rtscts, **options)


def _expanded(path: str) -> str:
    """The path in full, a leading ~ resolved: a shell does not do it after a colon."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise ConfigurationError(f"--listen: {path} has no home directory: write the path in full") from error
    except OSError as error:
        raise ConfigurationError(
            f"--listen: {path} is in a working directory that is gone: write the path in full"
        ) from error


class _Options:
    """The part of a listen URL after the question mark."""

    def __init__(self, url: str, query: str, flags: tuple[str, ...] = ()) -> None:
        self._found: dict[str, str] = {}
        known = ("allow-write", "payload-format", *flags)
        for option in query.split("&") if query else ():
            name, equals, value = option.partition("=")
            if name not in known:
                raise ConfigurationError(f"--listen {url}: unknown option '{name}', must be one of {', '.join(known)}")
            if name in self._found:
                raise ConfigurationError(f"--listen {url}: option {name} is there twice")
            if name in flags and equals:
                raise ConfigurationError(f"--listen {url}: option {name} has no value: write just ?{name}")
            if name not in flags and not value:
                raise ConfigurationError(f"--listen {url}: option {name} needs a value: {name}=...")
            self._found[name] = value
        self.allow_write = self._found.get("allow-write")
        self.payload_format = self._payload_format(url)

    def flag(self, name: str) -> bool:
        return name in self._found

    def _payload_format(self, url: str) -> PayloadFormat | None:
        name = self._found.get("payload-format")
        if name is None:
            return None
        try:
            return PayloadFormat(name)
        except ValueError:
            names = " or ".join(known.value for known in PayloadFormat)
            raise ConfigurationError(f"--listen {url}: payload-format must be {names}") from None


def _host_and_port(url: str, where: str) -> tuple[str, int]:
    address = where.removeprefix("//")
    host, colon, digits = address.rpartition(":")
    if not where.startswith("//") or not colon or not host:
        raise ConfigurationError(f"--listen {url}: must be tcp://HOST:PORT, for example tcp://127.0.0.1:50001")
    port = parse_port(digits)
    if port is None:
        raise ConfigurationError(f"--listen {url}: the port must be a number from 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"--listen {url}: write an IPv6 address in brackets, tcp://[::1]:PORT")
    return host, port


def _device_and_baudrate(url: str, where: str) -> tuple[str, int]:
    device, at, baudrate = where.rpartition("@")
    if not at:
        return where, DEFAULT_BAUDRATE
    digits = baudrate.isascii() and baudrate.isdigit() and len(baudrate) <= 10
    if not device or not digits or not 0 < int(baudrate) <= _BAUDRATE_MAX:
        raise ConfigurationError(f"--listen {url}: must be serial:DEVICE@BAUD, for example serial:/dev/ttyUSB0@230400")
    return device, int(baudrate)
