"""`mitotype` and `python -m mitotype` run the command-line interface; an interrupt while it is imported ends it with a line."""

import sys

from mitotype.core.interrupts import Interrupted, raised_signals


def main() -> None:
    try:
        with raised_signals():
            from mitotype.cli import main as run

            run()
    except Interrupted as stop:
        print("Stopped before anything was done.\n  continue: repeat the command", file=sys.stderr)
        sys.exit(stop.status)


if __name__ == "__main__":
    main()
