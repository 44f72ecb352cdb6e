"""Where networks run: CPU, CUDA or MPS."""

import torch
from torch import Tensor

from molmp.errors import DeviceError

__all__ = ["pick_device", "send"]


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU where there is one.

    Raises
    ------
    DeviceError
        No such device here; the message lists those that are.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    there = ["cpu"]
    if torch.cuda.is_available():
        there = [*(f"cuda:{i}" for i in range(torch.cuda.device_count())), *there]
    if torch.backends.mps.is_available():
        there = ["mps", *there]
    if name == "auto":
        return torch.device(there[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in there:
        raise DeviceError(f"there is no device {name!r} here; there is {', '.join(there)}")
    return torch.device(wanted)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return ``tensor`` on ``device``; a GPU is not waited for.

    >>> send(torch.ones(1), torch.device("cpu"))
    tensor([1.])
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()  # a copy from memory that may be moved would wait
    return tensor.to(device, non_blocking=True)
