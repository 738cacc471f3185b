"""At least a hundred processes are killed at random under grids of trivial cells: nothing is lost, nothing doubled.

`ALLWIN_FAULTS=300` raises the number. Each test kills its share; then the same command makes its grids whole.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from math import ceil
from typing import Any

import psutil
import pytest
from fault_field import (
    KILLS,
    MARK,
    Field,
    Metrics,
    NewField,
    is_gcs,
    is_profile,
    is_profile_server,
    is_raylet,
    is_warden,
    is_worker,
)

pytestmark = pytest.mark.timeout(3_600)


def share(percent: int) -> int:
    return ceil(KILLS * percent / 100)


def test_drivers_killed_at_start_up_and_in_mid_grid(new_field: NewField, undisturbed: Metrics) -> None:
    left = share(20)
    while left:
        field = new_field("drivers", pause_s=0.02)
        while left:
            field.start()
            if left % 3:
                field.until(field.moved)
                field.pause(0.5)
            else:
                field.pause(4.0)
            if not field.running:
                break
            assert field.driver
            field.kill("driver", [psutil.Process(field.driver.pid)], explains=0)
            field.driver.wait()
            left -= 1
        field.settle(undisturbed)


def test_workers_killed_in_mid_grid(new_field: NewField, undisturbed: Metrics) -> None:
    left = share(40)
    while left:
        field = new_field("workers")
        field.start()
        field.until(field.moved)
        while left and field.running:
            field.pause(1.0)
            victim = field.find(is_worker)
            if victim and field.kill("worker", [victim], explains=1):
                left -= 1
                field.wait_for_more()
        field.settle(undisturbed)


def test_wardens_servers_and_profiles_killed_while_costs_are_measured(
    new_field: NewField, undisturbed: Metrics
) -> None:
    left = share(16)
    turns = cycle(
        [("profile", is_profile), ("profile server", is_profile_server), ("warden", is_warden), ("worker", is_worker)]
    )
    while left:
        field = new_field("profiles", seeds=40, stages="fit, evaluate, profile", pause_s=0.02)
        field.start()
        field.until(field.moved)
        while left and field.running:
            what, wanted = next(turns)
            victim: psutil.Process | None = None
            while victim is None and field.running:
                victim = field.find(wanted)
            if victim and field.kill(what, [victim], explains=1):
                left -= 1
                field.wait_for_more()
                field.pause(0.5)
        field.settle(undisturbed)


def test_ray_killed_under_a_driver_that_then_ends_with_one_line(new_field: NewField, undisturbed: Metrics) -> None:
    field = new_field("Ray of one machine", seeds=40)
    for what, wanted, _ in zip(cycle(["raylet", "gcs server"]), cycle([is_raylet, is_gcs]), range(share(4))):
        field.start()
        field.until(field.moved)
        field.pause(1.0)
        victim = field.find(wanted)
        assert victim
        # The two workers of this machine go with it.
        assert field.kill(what, [victim], explains=2)
        field.until(lambda: not field.running)
        assert field.driver
        assert field.driver.returncode == 2
        assert "Traceback" not in field.errors()
        assert field.errors().splitlines()[-1].startswith("allwin: Ray has gone")
    field.settle(undisturbed)


def test_nodes_of_a_cluster_killed_and_put_back(
    new_field: NewField, undisturbed: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = share(22)
    turns = cycle([*["node", "node with all its processes"] * 2, "worker on a node"])
    while left:
        field = new_field("cluster", pause_s=0.1)
        with cluster(field, monkeypatch) as (address, add_node):
            node = add_node()
            field.start("--address", address)
            field.until(field.moved)
            while left and field.running:
                what = next(turns)
                raylet = raylet_of(node)
                wait_for_worker(field, raylet)
                field.pause(1.0)
                workers = [child for child in raylet.children() if is_worker(child)]
                victims = {"node": [raylet], "worker on a node": workers}.get(what, [raylet, *raylet.children()])
                if not field.running or not field.kill(what, victims, explains=1):
                    continue
                left -= 1
                field.wait_for_more()
                if what != "worker on a node":
                    node = add_node(instead_of=node)
            field.settle(undisturbed, "--address", address)


@contextmanager
def cluster(field: Field, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A head that works on nothing, a node that stays, and what adds one more; all marked as the field's."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="faults-")
    with monkeypatch.context() as patch:
        patch.setenv(MARK, field.mark)
        # A node has no code of ours but what is shipped to it.
        patch.delenv("PYTHONPATH")
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})

    def add_node(instead_of: Any = None) -> Any:
        if instead_of is not None:
            started.remove_node(instead_of, allow_graceful=False)
        with monkeypatch.context() as patch:
            patch.setenv(MARK, field.mark)
            patch.delenv("PYTHONPATH")
            # A folder of its own, as a machine has: a node that joins unpacks our code anew, and in a shared folder it
            # would first delete what the others' workers run.
            return started.add_node(num_cpus=1, temp_dir=tempfile.mkdtemp(prefix="node-", dir=folder))

    try:
        add_node()
        yield started.address, add_node
    finally:
        started.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def raylet_of(node: Any) -> psutil.Process:
    from ray._private import ray_constants

    (info,) = node.all_processes[ray_constants.PROCESS_TYPE_RAYLET]
    return psutil.Process(info.process.pid)


def wait_for_worker(field: Field, raylet: psutil.Process) -> None:
    """Until the node of this raylet has a worker."""
    field.until(lambda: any(is_worker(child) for child in raylet.children()) or not field.running)
