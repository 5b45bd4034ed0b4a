"""A check that a device can be used."""

from __future__ import annotations


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have or cannot use.

    Raises:
        ValueError: it is not known, or not here.
    """
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ValueError(
            f"--device {device} cannot be used here ({reason}): give cpu, or a device that this machine has."
        ) from error
