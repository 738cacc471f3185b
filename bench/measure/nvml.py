"""The total-energy counter of an NVIDIA board, in millijoules since the driver was loaded (Volta and newer)."""

import os
from typing import Any

import torch

from bench.measure.counters import Reading, UnreadableError

DOMAIN = "gpu"


class NvmlCounter:
    """The counter of one board. `nvml` is the module of nvidia-ml-py, or one that behaves like it."""

    instrument = "nvml-total-energy"
    scope = "the whole board"
    poll_s = float("inf")

    def __init__(self, nvml: Any, uuid: str) -> None:
        """Raises `UnreadableError` for a board that has no such counter, or one cut into MIG slices."""
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._board = nvml.nvmlDeviceGetHandleByUUID(uuid)
        except nvml.NVMLError as error:
            raise UnreadableError(
                f"NVML does not find {uuid}: {error}; is it a MIG slice, or the driver's library away?"
            ) from error
        if self._is_sliced():
            raise UnreadableError(
                "the board is cut into MIG slices and its counter is the whole board's; switch MIG off"
            )
        self.read()

    def _is_sliced(self) -> bool:
        try:
            current, _pending = self._nvml.nvmlDeviceGetMigMode(self._board)
        except self._nvml.NVMLError_NotSupported:
            return False
        return current == self._nvml.NVML_DEVICE_MIG_ENABLE

    def read(self) -> Reading:
        try:
            return {DOMAIN: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._board)}
        except self._nvml.NVMLError_NotSupported as error:
            raise UnreadableError("the board has no total-energy counter; boards from Volta on have one") from error
        except self._nvml.NVMLError as error:
            raise UnreadableError(f"the total-energy counter cannot be read: {error}") from error

    def joules(self, before: Reading, after: Reading) -> dict[str, float]:
        millijoules = after[DOMAIN] - before[DOMAIN]
        if millijoules < 0:
            raise UnreadableError(f"the counter went backwards by {-millijoules} mJ; was the driver reloaded?")
        return {DOMAIN: millijoules / 1000}

    def state(self) -> dict[str, Any]:
        """Celsius, megahertz, and NVML's bit mask of the reasons for lowered clocks; null where it does not tell."""
        nvml, board = self._nvml, self._board
        questions = {
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(board, nvml.NVML_TEMPERATURE_GPU),
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM),
            "throttle_reasons": lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(board),
        }
        answers: dict[str, Any] = {}
        for name, ask in questions.items():
            try:
                answers[name] = ask()
            except nvml.NVMLError:
                answers[name] = None
        return answers

    def check_alone(self) -> None:
        try:
            others = _others(self._nvml, self._board)
        except self._nvml.NVMLError as error:
            raise UnreadableError(f"it cannot be told who else uses the board: {error}") from error
        if others:
            raise UnreadableError(f"{others} other process(es) use the board, and the counter is the whole board's")


def other_processes(device: torch.device) -> int | None:
    """Processes other than this one that compute on a GPU; None where there is no GPU, or its driver does not tell."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return _others(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid_of(device)))
    except pynvml.NVMLError:
        return None


def uuid_of(device: torch.device) -> str:
    """By which NVML knows the board: CUDA_VISIBLE_DEVICES renumbers the boards for torch, and not for NVML."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def _others(nvml: Any, board: Any) -> int:
    pids = {process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(board)}
    # Inside a container the pids are the host's, and our own is not among them under the number that we know.
    own = {os.getpid()} & pids or set(list(pids)[:1])
    return len(pids - own)
