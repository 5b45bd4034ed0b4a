"""python -m lit_bg.report RUN."""

from lit_bg import signals
from lit_bg.report.page import main

if __name__ == "__main__":
    signals.run(main)
