"""Waiting for a device, without which a clock reads when work was handed over and not when it was done."""

import torch


def synchronise(device: torch.device) -> None:
    """Returns when the device has done all that was handed to it. A CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
