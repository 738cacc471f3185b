"""Every task and method of the tree keeps every rule."""

import json
import subprocess
from collections.abc import Callable

import pytest

from bench import registry

TASKS = [entry.name for entry in registry.load().tasks.values() if entry.origin == "tree"]


# A task with thirty methods is fitted some three hundred times, for a second in all each.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", TASKS)
def test_a_task_and_its_methods_keep_every_rule(
    task: str, allwin: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    # In a process of its own: where shapes are checked at run time, beartype draws from `random` inside fit.
    answer = allwin("check", task, "--json", timeout=840)
    document = json.loads(answer.stdout)
    failures = [
        f"{item['entry']}: {rule['rule']}: {rule['saw']}"
        for item in document["checked"]
        for rule in item["rules"]
        if rule["state"] == "fail"
    ]
    assert failures == []
    assert answer.returncode == 0
