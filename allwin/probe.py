"""Imports one heavy library and prints what it finds, as JSON: `python -m allwin.probe torch`. For `allwin doctor`.

In a process of its own, so that a library that crashes on import is a finding and takes nothing down.
"""

import json
import sys
from typing import Any


def torch() -> dict[str, Any]:
    """Version, threads, the devices that torch sees, and the reason why one has no energy meter."""
    import torch

    from bench.measure.energy import open_meter

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    meters = {name: open_meter(torch.device(name)) for name in ("cpu", *cuda)}
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "devices": {name: torch.cuda.get_device_name(name) for name in cuda},
        "energy": {name: meter if isinstance(meter, str) else "" for name, meter in meters.items()},
    }


def ray() -> dict[str, Any]:
    import ray

    return {"version": ray.__version__}


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"torch": torch, "ray": ray}[sys.argv[1]]()))
