"""The few words that methods share. torch has the rest: averaged models, schedulers, `functional_call`, `vmap`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.run import Run
from bench.seeds import derive_seed

Plan = Callable[[int, torch.Generator], Sequence[Tensor]]
"""An epoch's number and a generator, to that epoch's batches of indices: where sampling is the method."""


class Batches:
    """An endless iterator over a tensor, or over tensors of equal length, in batches of exactly `size` rows.

    The rows run through one random order after another. Batch k depends on (seed, order of creation, k) alone, so the
    state is one integer; with a `plan`, on what the plan reads too.
    """

    def __init__(self, split: Tensor | tuple[Tensor, ...], size: int, run: Run, plan: Plan | None = None) -> None:
        self._parts = (split,) if isinstance(split, Tensor) else tuple(split)
        self._single = isinstance(split, Tensor)
        self._rows = len(self._parts[0])
        if not self._rows:
            raise ValueError("Batches needs at least one row, got an empty split")
        self._size = size
        self._seed = run.stream()
        self._plan = plan
        self._batch = 0
        self._epoch_start = 0
        self._epoch = 0
        self._planned: Sequence[Tensor] | None = None
        self._orders: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch: a tensor, or a tuple of them, as the split was."""
        indices = self._from_plan() if self._plan else self._from_order()
        self._batch += 1
        batch = tuple(part[indices.to(part.device)] for part in self._parts)
        return batch[0] if self._single else batch

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self._batch, "epoch_start": self._epoch_start, "epoch": self._epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._batch, self._epoch_start, self._epoch = (state_dict[k] for k in ("batch", "epoch_start", "epoch"))
        self._planned = None

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self._seed, epoch))

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            self._orders = {key: order for key, order in self._orders.items() if key == epoch - 1}
            self._orders[epoch] = torch.randperm(self._rows, generator=self._generator(epoch))
        return self._orders[epoch]

    def _from_order(self) -> Tensor:
        first, last = self._batch * self._size, (self._batch + 1) * self._size
        pieces = []
        while first < last:
            epoch, row = divmod(first, self._rows)
            piece = self._order(epoch)[row : row + last - first]
            pieces.append(piece)
            first += len(piece)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _from_plan(self) -> Tensor:
        assert self._plan
        if self._planned is None:
            self._planned = self._plan(self._epoch, self._generator(self._epoch))
        while self._batch - self._epoch_start >= len(self._planned):
            self._epoch_start = self._batch
            self._epoch += 1
            self._planned = self._plan(self._epoch, self._generator(self._epoch))
            if not self._planned:
                raise ValueError(f"the plan of epoch {self._epoch} has no batch")
        return self._planned[self._batch - self._epoch_start]


class Memory:
    """What moves between steps and is no module: numbers, strings, tensors, lists, by name."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this Memory holds {', '.join(self.__dict__) or 'nothing'}, and no {name}")

    def state_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, max_norm: float | None = None) -> None:
    """One step down the gradient of `loss`, clipped to `max_norm` over all of the optimiser's parameters."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if max_norm is not None:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)
    optimizer.step()


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Gradients pass through these modules, but none stays in their parameters."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def lookahead(net: nn.Module, loss: Tensor, lr: float) -> dict[str, Tensor]:
    """The parameters one gradient step on, within the graph, for `torch.func.functional_call`."""
    parameters = dict(net.named_parameters())
    slopes = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    return {name: p - lr * slope for (name, p), slope in zip(parameters.items(), slopes, strict=True)}
