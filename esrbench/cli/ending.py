"""Handle signals that ask a command to end."""

import signal
import sys

ASKING = ("SIGTERM", "SIGHUP")


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the command as exceptions.

    The exit code is 128 + the signal's number. For commands whose runtimes are in children: code of a driver that hangs
    in this process would never let Python see the signal. A signal that is ignored, as under nohup, stays ignored.
    """
    for name in ASKING:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
