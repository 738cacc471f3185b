"""Who judges the weights of calibration: images that are not trained on, and what their scores lose."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bench import Run, UserError
from bench.training import Batches
from methods.pu._risks import pu_parts
from methods.pu.self_pu.calibration import Loss, entropy
from tasks.pu import PUProblem

Judge = Callable[[], tuple[Tensor, Loss]]
"""Draws images and says what their scores lose."""


def halves(problem: PUProblem) -> tuple[PUProblem, PUProblem]:
    """The problem with the validation images that calibrate, and with those that choose the solution.

    One half each: images that the weights were fitted to would choose the epochs of calibration. Raises `UserError`
    where there is no positive for each half.
    """
    positive, others = problem.validation_positive, problem.validation_unlabelled
    if len(positive) < 2:
        raise UserError(
            f"pu/self-pu: calibration=pu needs two validation positives, got {len(positive)}; "
            "set more with --set pu.positives=100 or --set pu.validation=0.2"
        )
    first, second = (
        replace(problem, validation_positive=positive[half::2], validation_unlabelled=others[half::2])
        for half in (0, 1)
    )
    return first, second


def judge_of(
    calibration: Literal["pu", "clean", "test-inputs", "none"], problem: PUProblem, sizes: tuple[int, int], run: Run
) -> tuple[dict[str, Batches], Judge | None]:
    """What is in `state`, and what judges the weights."""
    size = sum(sizes)
    if calibration == "pu":
        positives = Batches(problem.validation_positive.to(run.device), sizes[0], run)
        others = Batches(problem.validation_unlabelled.to(run.device), sizes[1], run)

        def by_pu_risk() -> tuple[Tensor, Loss]:
            def loss(values: Tensor) -> Tensor:
                labelled, rest_values = values.tensor_split([sizes[0]])
                on_positives, on_negatives = pu_parts(labelled, rest_values, problem.prior)
                return on_positives + on_negatives

            return torch.cat([next(positives), next(others)]), loss

        return {"judged-positives": positives, "judged-others": others}, by_pu_risk
    if calibration == "clean":
        if problem.clean is None:
            raise UserError("pu/self-pu: calibration=clean needs labels; set them with --set pu.clean_labels=100")
        clean = (problem.clean.images.to(run.device), problem.clean.labels.gt(0).float().to(run.device))
        labelled = Batches(clean, min(size, len(problem.clean.labels)), run)

        def by_labels() -> tuple[Tensor, Loss]:
            images, labels = next(labelled)
            return images, lambda values: binary_cross_entropy_with_logits(values, labels)

        return {"judged": labelled}, by_labels
    if calibration == "test-inputs":
        if problem.test_inputs is None:
            raise UserError(
                "pu/self-pu: calibration=test-inputs needs the test images; hand them out with "
                "--set pu.test_inputs=true"
            )
        inputs = Batches(problem.test_inputs.to(run.device), size, run)
        return {"judged": inputs}, lambda: (next(inputs), lambda values: 2 * entropy(values).mean())
    return {}, None
