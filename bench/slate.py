"""A clean process for each trial: random state, flags, threads and folder, set before and put back after."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch


def flags() -> dict[str, Any]:
    """The switches that can change results or speed."""
    return {
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
    }


@contextlib.contextmanager
def clean_slate(seed: int, threads: int) -> Iterator[None]:
    """Global random state, flags and folder set for this trial, and put back afterwards whatever it did to them."""
    folder = Path.cwd()
    kept = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002 -- the global one is meant
    cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    # `torch.manual_seed` would also queue a seed for a CUDA that has not started, at a millisecond a call.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    if threads != kept[2]:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_default_dtype(kept[0])
        torch.set_grad_enabled(kept[1])
        if torch.get_num_threads() != kept[2]:
            torch.set_num_threads(kept[2])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        os.chdir(folder)
