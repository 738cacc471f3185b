"""What the Ray engine promises beside the runner's tests: loopback, fresh processes, second workers, clusters."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from toy_grid import write_suite

from bench.record import Record
from bench.store import Store

Allwin = Callable[..., subprocess.CompletedProcess[str]]


def every_attempt(store: Path) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for path in Store.open(store).files():
        record = Record.model_validate_json(path.read_bytes())
        found.setdefault(record.key, []).append(record)
    return found


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "allwin", "run", "grid.yaml", "--store", "s", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def wait_until(ready: Callable[[], Any], running: subprocess.Popen[str], limit_s: float = 90) -> Any:
    deadline = time.monotonic() + limit_s
    while running.poll() is None and time.monotonic() < deadline:
        if found := ready():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it did not come to that; {running.poll()=}")


def test_profiles_run_in_fresh_processes_of_their_own(allwin: Allwin, tmp_path: Path) -> None:
    write_suite(tmp_path, "sample-mean, descent", stages="fit, evaluate, profile")
    done = allwin("run", "grid.yaml", "--store", "s")
    assert done.returncode == 0, done.stderr
    places = [record.provenance for (record,) in every_attempt(tmp_path / "s").values()]
    profilers = [place.profile_pid for place in places]
    assert None not in profilers
    assert len(set(profilers)) == 4
    assert not set(profilers) & {place.worker_pid for place in places}


def test_only_this_machine_can_reach_rays_ports(tmp_path: Path) -> None:
    write_suite(tmp_path, "{descent: {steps: 400, pause_s: 0.02}}", seeds=4)
    running = started(tmp_path)

    def ports() -> list[Any]:
        pids = {process.pid for process in psutil.Process(running.pid).children(recursive=True)} | {running.pid}
        found = [c for c in psutil.net_connections("inet") if c.status == "LISTEN" and c.pid in pids]
        # The driver, the control store, the raylet's two, its agent, and the workers.
        return found if len(found) >= 7 else []

    try:
        listening = wait_until(ports, running)
    finally:
        running.send_signal(signal.SIGINT)
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}


def test_a_trial_that_lost_its_worker_gets_a_second_one_and_both_attempts_are_kept(tmp_path: Path) -> None:
    write_suite(tmp_path, "{descent: {steps: 100, pause_s: 0.02}}", seeds=3)
    running = started(tmp_path, "--workers", "1")

    def worker() -> list[psutil.Process]:
        family = psutil.Process(running.pid).children(recursive=True)
        return [process for process in family if "Worker.work" in " ".join(process.cmdline())]

    wait_until(worker, running)[0].kill()
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    assert "once more" in errors
    attempts = every_attempt(tmp_path / "s")
    statuses = sorted(tuple(record.status for record in records) for records in attempts.values())
    assert statuses == [("failed", "ok"), ("ok",), ("ok",)]
    (lost,) = [records[0] for records in attempts.values() if len(records) == 2]
    assert lost.failure is not None
    assert lost.failure.cause == "crash"


def test_a_method_that_takes_its_process_down_is_tried_twice_and_no_more(allwin: Allwin, tmp_path: Path) -> None:
    write_suite(tmp_path, "exits", seeds=1)
    for _ in range(2):
        assert allwin("run", "grid.yaml", "--store", "s").returncode == 1
    ((first, second),) = every_attempt(tmp_path / "s").values()
    assert [first.attempt, second.attempt] == [1, 2]


def test_a_first_crash_whose_driver_died_is_tried_again_by_the_same_command(allwin: Allwin, tmp_path: Path) -> None:
    write_suite(tmp_path, "exits", seeds=1)
    allwin("run", "grid.yaml", "--store", "s")
    next((tmp_path / "s").glob("records/*/*-2.json")).unlink()
    again = allwin("run", "grid.yaml", "--store", "s")
    assert "once more" not in again.stderr
    ((first, second),) = every_attempt(tmp_path / "s").values()
    assert [first.attempt, second.attempt] == [1, 2]


# A cluster ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without workers and two nodes with one core each, that know nothing of our code."""
    from ray.cluster_utils import Cluster

    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir("/")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        found.first = found.add_node(num_cpus=1, resources={"accelerator_type:TOY": 1})
        found.second = found.add_node(num_cpus=1)
        found.wait_for_nodes()
        monkeypatch.undo()
        yield found
    finally:
        found.shutdown()


def raylet_of(node: Any) -> int:
    from ray._private.ray_constants import PROCESS_TYPE_RAYLET

    return node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid


def test_a_node_killed_in_mid_grid_loses_and_doubles_nothing_and_code_is_shipped(cluster: Any, tmp_path: Path) -> None:
    methods = "sample-mean, {descent: {steps: 10, pause_s: 0.05}}"
    write_suite(tmp_path, methods, seeds=10, stages="fit, evaluate, profile")
    running = started(tmp_path, "--address", cluster.address)
    wait_until(lambda: len(list((tmp_path / "s").glob("records/*/*.json"))) >= 3, running)
    os.kill(raylet_of(cluster.second), signal.SIGKILL)
    _, errors = running.communicate(timeout=200)
    assert running.returncode == 0, errors
    attempts = every_attempt(tmp_path / "s")
    assert len(attempts) == 20
    for records in attempts.values():
        statuses = Counter(record.status for record in records)
        assert statuses["ok"] == 1, "a record was lost or doubled"


def test_an_accelerators_name_chooses_the_nodes(cluster: Any, tmp_path: Path) -> None:
    write_suite(tmp_path, "{descent: {steps: 20, pause_s: 0.05}}", seeds=4)
    chosen, other = raylet_of(cluster.first), raylet_of(cluster.second)
    running = started(tmp_path, "--address", cluster.address, "--accelerator", "TOY")
    seen: set[int] = set()
    while running.poll() is None:
        for process in psutil.process_iter(["cmdline", "ppid"]):
            if "Worker.work" in " ".join(process.info["cmdline"] or []):
                seen.add(process.info["ppid"])
        time.sleep(0.05)
    _, errors = running.communicate()
    assert running.returncode == 0, errors
    assert chosen in seen
    assert other not in seen


def test_where_costs_alone_are_measured_the_clusters_hardware_is_part_of_the_key(cluster: Any, tmp_path: Path) -> None:
    write_suite(tmp_path, "sample-mean", seeds=1, stages="profile")
    running = started(tmp_path, "--address", cluster.address)
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    ((record,),) = every_attempt(tmp_path / "s").values()
    assert record.parts["hardware"] == record.provenance.hardware
    assert record.costs["latency_ms"].value
