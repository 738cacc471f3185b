"""The claim of nnPU: with few labelled positives its risk does not overfit, where the unbiased one does.

Five seeds of real digits, paired; the last epoch, never the best one.
"""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from bench.run import Run
from methods.pu.nnpu import NNPU
from methods.pu.upu import UPU
from tasks.pu import PU

TASK = PU(positives=100, validation=0.2, width=0.25, selection="last")
SETTINGS = {"epochs": 20, "batch_positive": 6, "batch_unlabelled": 250}
SEEDS = range(5)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[tuple[float, float, float]]]:
    """For each method and seed: test error in %, last risk in training, last risk on the validation part."""
    outcomes: dict[str, list[tuple[float, float, float]]] = {"upu": [], "nnpu": []}
    for seed in SEEDS:
        problem, held_out = TASK.load("mnist5k", "small", seed)
        for name, method in (("upu", UPU(**SETTINGS)), ("nnpu", NNPU(**SETTINGS))):
            run = Run(seed=seed)
            net = method.fit(problem, run)
            curves = run.curves()
            error = TASK.evaluate(net, held_out).metrics["error"]
            outcomes[name].append((error, curves["risk"].y[-1], curves["validation_risk"].y[-1]))
    return outcomes


def test_the_last_epoch_of_nnpu_has_a_lower_test_error_than_that_of_upu(outcomes):
    gains = np.array(outcomes["upu"])[:, 0] - np.array(outcomes["nnpu"])[:, 0]
    interval = ttest_1samp(gains, 0).confidence_interval(0.95)
    assert interval.low > 0, f"uPU's error minus nnPU's, by seed: {gains.round(1)}"


def test_the_training_risk_of_upu_falls_below_zero_while_its_validation_risk_stays_above(outcomes):
    for error, risk, validation in outcomes["upu"]:
        assert risk < -0.2, f"test error {error} %"
        assert validation > 0.2, f"test error {error} %"
