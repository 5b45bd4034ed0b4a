"""python -m lit_bg COMMAND ...: what the console script `lit-bg` does."""

import os
import sys

from lit_bg import signals
from lit_bg.console.commands import main


def run() -> None:
    """Run a command, and see to it that nothing hangs after an interrupt.

    Classes beside a YAML are found in the working directory, as `python -m` finds them.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    signals.run(main)


if __name__ == "__main__":
    run()
