"""A suite over the toy plug-in, as a file: what tests of the runner run."""

from pathlib import Path

SUITE = """
title: A grid of toys
budget: smoke
seeds: {seeds}
stages: [{stages}]
grid:
  - task: toy
    methods: [{methods}]
"""


def write_suite(folder: Path, methods: str, seeds: int = 2, stages: str = "fit, evaluate") -> str:
    """Writes `grid.yaml` into a folder and returns that name."""
    (folder / "grid.yaml").write_text(SUITE.format(methods=methods, seeds=seeds, stages=stages))
    return "grid.yaml"
