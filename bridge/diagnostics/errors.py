"""What the room raises on purpose. It must not know how an answer to a client is written."""

from bridge.errors import ClientError


class RequestRefused(ClientError):
    """A diagnostic request cannot be taken, or there is none to cancel; the text is the one-line reason."""
