"""Two claims of Open-L2O on sparse recovery at 50 x 100 without noise, after 16 iterations.

Momentum beats none, and a network that unrolls ISTA beats momentum by at least 5 dB. Five seeds, paired: each draws its
own dictionary, training, validation and test samples. The weight of the classic iterations is tuned on validation
samples for 16 iterations. What is compared is the NMSE over all test instances.
"""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from bench.run import Run
from methods.l2o.alista import ALISTA
from methods.l2o.fista import FISTA
from methods.l2o.ista import ISTA
from methods.l2o.lista_cpss import LISTACPSS
from tasks.l2o import L2O

TASK = L2O(measurements=50, unknowns=100)
METHODS = {
    "ista": ISTA(),
    "fista": FISTA(),
    "lista-cpss": LISTACPSS(batch=64, stage_steps=(20, 15, 5), lrs=(2e-3, 1e-3, 2e-4)),
    "alista": ALISTA(batch=64, stage_steps=(10, 5, 5), lrs=(2e-2, 1e-2, 2e-3)),
}
SEEDS = range(5)


@pytest.fixture(scope="module")
def nmse_db() -> dict[str, np.ndarray]:
    """The NMSE of each method by seed, in dB."""
    problems = [TASK.load("sparse", "small", seed) for seed in SEEDS]
    return {
        name: np.array(
            [
                TASK.evaluate(method.fit(problem, Run(seed=seed)), held_out).metrics["nmse_db"]
                for seed, (problem, held_out) in zip(SEEDS, problems, strict=True)
            ]
        )
        for name, method in METHODS.items()
    }


def least_gain(worse: np.ndarray, better: np.ndarray) -> float:
    """The lower end of the 95 % interval of the paired gain, in dB."""
    return ttest_1samp(worse - better, 0).confidence_interval(0.95).low


def test_fista_is_below_ista_at_equal_iterations(nmse_db):
    assert least_gain(nmse_db["ista"], nmse_db["fista"]) > 0, nmse_db


@pytest.mark.parametrize("name", ["lista-cpss", "alista"])
def test_a_learned_network_of_16_layers_is_at_least_5_db_below_fista_at_16_iterations(name, nmse_db):
    assert least_gain(nmse_db["fista"], nmse_db[name]) > 5, nmse_db
