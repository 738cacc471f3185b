"""Proxy guidance: what the student says of the 1000 classes of ImageNet must stay what a frozen copy says.

ASG (Chen and others, ICML 2020): the divergence of the student's answers, through the frozen old head, from the
teacher's, on the synthetic images themselves; temperature 1.

    KL(teacher || student)          `proxy_divergence`
    its bound in segmentation       `bounded`

b batch, k classes of the old head, d features
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

BOUND = 9.0
"""Of the weighted divergence, in the authors' segmentation with a policy."""


def proxy_divergence(
    student_logits: Float[Tensor, "b k"], teacher_probabilities: Float[Tensor, "b k"]
) -> Float[Tensor, ""]:
    """KL(teacher || student): the sum over classes, the mean over images. Gradients reach the student alone."""
    # A student that is the teacher has neither loss nor gradient: it takes drift for this to act.
    return kl_div(log_softmax(student_logits, dim=1), teacher_probabilities.detach(), reduction="batchmean")


def bounded(divergence: Float[Tensor, ""], weight: float, bound: float = BOUND) -> Float[Tensor, ""]:
    """The weighted divergence; above the bound its value is the bound, and its gradient shrinks by as much."""
    # The weight is replaced, as a constant: a clamp would end the gradient where it is needed most.
    return divergence * (bound / divergence.detach()).clamp(max=weight)
