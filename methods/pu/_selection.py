"""Which of the networks that a fit passes through is its solution. All methods of this folder choose alike."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from methods.pu._risks import sigmoid_loss, validation_risk
from tasks.pu import PUProblem, Trajectory, scores

Weights = dict[str, Tensor]


class Candidates:
    """Keeps the best network of a fit; goes into its `state`.

    By default "best" means the least PU risk on the validation part (`validation_risk`), for which no negative has to
    be labelled. `pu.selection` and `pu.trajectory` say otherwise.
    """

    def __init__(self, problem: PUProblem) -> None:
        self._problem = problem
        self._best: Weights = {}
        self._passed: list[Weights] = []
        self.chosen = {"epoch": -1, "network": ""}
        """The epoch after which the best network was offered, and its name."""
        self._least = float("inf")

    def offer(self, epoch: int, **networks: nn.Module) -> Float[Tensor, ""]:
        """Considers the networks as they are now, after this epoch. Returns the least of their validation risks."""
        risks = torch.stack([validation_risk(network, self._problem) for network in networks.values()])
        merits = risks.tolist() if self._problem.selection != "oracle-labels" else self._oracle(networks)
        if self._problem.selection == "last":
            self._least = float("inf")
        for (name, network), merit in zip(networks.items(), merits, strict=True):
            if merit < self._least:
                self._least = merit
                self._best = snapshot(network)
                self.chosen = {"epoch": epoch, "network": name}
            if self._problem.trajectory:
                self._passed.append(snapshot(network))
        return risks.min()

    def solution(self, network: nn.Module) -> nn.Module:
        """The best network, in the place of `network`; with `pu.trajectory`, all others beside it."""
        if self._best:
            network.load_state_dict(self._best)
        return Trajectory(network, [dict(weights) for weights in self._passed]) if self._passed else network

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "passed": self._passed, "chosen": self.chosen, "least": self._least}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._passed, self.chosen, self._least = (
            copy.copy(state_dict[key]) for key in ("best", "passed", "chosen", "least")
        )

    def _oracle(self, networks: dict[str, nn.Module]) -> list[float]:
        """The loss of each network on the labelled images: an oracle, for it is told negatives."""
        clean = self._problem.clean
        assert clean is not None
        return [
            sigmoid_loss(clean.labels.to(values.device) * values).mean().item()
            for values in (scores(network, clean.images) for network in networks.values())
        ]


def snapshot(network: nn.Module) -> Weights:
    """Its weights and buffers, as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
