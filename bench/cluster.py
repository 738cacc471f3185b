"""What the nodes of a Ray cluster are, asked before a run: where costs alone are measured, they are part of the key."""

from typing import Any

from bench.errors import UserError
from bench.ray_start import connect, import_ray

ANSWER_S = 60.0


def hardware_of(address: str, accelerator: str | None, device: str) -> str:
    """The hardware group of the nodes that a run would use. Raises `UserError` where they differ, or there are none."""
    ray = import_ray(address)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from bench.ray_worker import Warden

    connect(address)
    try:
        wanted = {f"accelerator_type:{accelerator}"} if accelerator else set()
        answers = []
        for node in ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU") and wanted <= set(node["Resources"]):
                affinity = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                warden: Any = ray.remote(Warden).options(num_cpus=0, scheduling_strategy=affinity).remote(1)
                answers.append(warden.hardware.remote(device))
        groups = set(ray.get(answers, timeout=ANSWER_S))
    except ray.exceptions.RayError as error:
        raise UserError(f"--address {address}: its nodes do not say what they are; is one of them ending?") from error
    finally:
        ray.shutdown()
    if len(groups) != 1:
        found = " and ".join(sorted(groups)) or "no node with cores"
        raise UserError(
            f"--address {address}: costs are measured on one kind of hardware, and it has {found}; "
            "choose by --accelerator"
        )
    return groups.pop()
