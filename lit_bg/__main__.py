"""python -m lit_bg COMMAND ...: what the console script `lit-bg` does."""

from lit_bg import signals
from lit_bg.console.commands import main


def run() -> None:
    """Run a command, and see to it that nothing hangs after an interrupt."""
    signals.run(main)


if __name__ == "__main__":
    run()
