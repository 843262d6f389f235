"""The command `openxc-bridge`, which is `python -m bridge`, too."""

import io
import os
import signal
import sys


def main() -> int:
    """The exit status. While the rest is being loaded there is nothing to end: Ctrl-C ends it without a word."""
    interactive = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is started to ignore Ctrl-C
    if interactive:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepare_streams()
    from bridge.cli.main import main as command  # noqa: PLC0415

    if interactive:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


def prepare_streams() -> None:
    """Have stdin, stdout and stderr lead nowhere where who starts it has closed them (`>&-`).

    Python's own would be None, and the next socket would get the descriptor that error lines go to. Bytes of
    the user's that are no text, as in a path, are printed as they are.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
