"""A worked trial on its way to the fresh process that measures its costs.

The one place where objects are pickled: within one run, from a worker of ours to a process of ours, in memory. What is
kept on disk, records and checkpoints, is data.
"""

from dataclasses import dataclass
from typing import Any

from bench.record import Provenance
from bench.trial import Trial


@dataclass(frozen=True)
class Parcel:
    """What a profile needs, and what the record already has."""

    trial: Trial
    record_fields: dict[str, Any]
    where: Provenance
    visible_gpus: str | None
    """CUDA_VISIBLE_DEVICES of the worker: the profile runs on the device that the fit ran on."""
    packed: bytes
    """The workload and the solution, together, so that they still share their tensors when they are unpacked."""


def pack(value: Any) -> bytes:
    """Raises whatever a value raises that cannot be sent to another process."""
    from ray import cloudpickle

    return cloudpickle.dumps(value)


def unpack(packed: bytes) -> Any:
    """The classes of what was packed must have been imported, which those of a method by path are not by themselves."""
    from ray import cloudpickle

    return cloudpickle.loads(packed)
