"""The step size over time, as a factor: a quadratic warm-up, then a decay by a power.

ASG (Chen and others, ICML 2020) holds the decay from 0.8 of the steps on; CSG (Chen and others, ICLR 2021) lets it
reach zero, which is to hold it from 1.0 on. Step sizes that a policy sets for classification have neither.
"""

WARM_UP_STEPS = 100
FIRST = 0.01
"""Factor at step 0."""
POWER = 0.9


def step_size_factor(step: int, steps: int, held_from: float, warm_up: int = WARM_UP_STEPS) -> float:
    """min(0.01 + 0.99 (step / warm-up)^2, 1) (1 - min(step / steps, held from))^0.9."""
    warmed = min(FIRST + (1 - FIRST) * (step / warm_up) ** 2, 1.0)
    return warmed * (1 - min(step / steps, held_from)) ** POWER
