"""Boltzmann generators: sample exp(-U/kT) with generative models, corrected to it exactly."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_bg.runs.load import Run, load
    from lit_bg.samples import Samples

__all__ = ["Run", "Samples", "load"]

_MODULES = {"Run": "lit_bg.runs.load", "load": "lit_bg.runs.load", "Samples": "lit_bg.samples"}


def __getattr__(name: str) -> Any:  # torch is imported when something that needs it is asked for
    if name not in _MODULES:
        raise AttributeError(f"module 'lit_bg' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
