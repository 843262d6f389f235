"""Who is to blame: the exceptions that cross a room's wall.

Each error a user can cause derives from one of these, and its text is one line that says
what to do. A room may raise its own subclass; it must not raise anything else on purpose.
"""


class BridgeError(Exception):
    """Base of every error that the bridge raises on purpose."""


class ConfigurationError(BridgeError):
    """The user's settings, profile or command line is wrong; the text names file and key."""


class ClientError(BridgeError):
    """A client sent something that cannot be done; the text becomes the answer's message."""


class BusError(BridgeError):
    """A vehicle connection failed: adapter gone, bus off, frame not sendable."""


class RemoteSessionError(BusError):
    """A remote vehicle session failed: refused, expired or lost."""
