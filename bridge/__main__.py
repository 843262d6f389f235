"""The command `openxc-bridge`, which is `python -m bridge`, too."""

import signal
import sys


def main() -> int:
    """The exit status. While the rest is being loaded there is nothing to end: Ctrl-C ends it without a word."""
    interactive = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is started to ignore Ctrl-C
    if interactive:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from bridge.cli.main import main as command  # noqa: PLC0415

    if interactive:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
