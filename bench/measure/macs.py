"""Multiply-adds, counted from the shapes of the operators that ran. One multiply-add is one MAC; FLOPs are twice that.

The formulas are those of torch's `FlopCounterMode`: matrix products, convolutions and attention. It counts all else as
zero without a word, so `MacsCounter` also lists what it saw and did not count.

`FlopCounterMode` itself cannot be put around a training step: its hooks on modules raise inside `torch.func.grad`, and
it refuses higher-order operators. So the mode is ours, and a test holds its counts against torch's.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch

# The first optimiser or dispatch mode loads it: seconds and 90 MB that would otherwise count as the first fit's.
import torch._dynamo
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from bench.contracts import Workload
from bench.record import Measurement

aten = torch.ops.aten


def _matrix_vector(matrix: torch.Tensor, *_: Any, **__: Any) -> int:
    return 2 * matrix.numel()


def _matrix_vector_plus(_: torch.Tensor, matrix: torch.Tensor, *__: Any, **___: Any) -> int:
    return 2 * matrix.numel()


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(*inputs: Any, **_: Any) -> int:
    return sdpa_backward_flop_count(*(tensor.shape for tensor in inputs[:4]))


FORMULAS = {
    # torch counts a matrix times a matrix of one column, but not a matrix times a vector.
    aten.mv: _matrix_vector,
    aten.addmv: _matrix_vector_plus,
    aten.dot: _matrix_vector,
    aten.vdot: _matrix_vector,
    # torch up to 2.13 knows attention on CUDA only (pytorch/pytorch#195460). Choosing the MATH back end would mend the
    # count too, but change the results of the step that is being counted.
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    **flop_registry,
}
"""Operator -> a function of its arguments that gives the floating-point operations: two for each multiply-add."""

COMPUTES_NOTHING = {
    "_local_scalar_dense",
    "_to_copy",
    "_unsafe_view",
    "clone",
    "copy_",
    "empty",
    "empty_like",
    "empty_strided",
    "fill_",
    "full",
    "full_like",
    "new_empty",
    "new_empty_strided",
    "new_full",
    "new_ones",
    "new_zeros",
    "ones",
    "ones_like",
    "scalar_tensor",
    "zero_",
    "zeros",
    "zeros_like",
}
"""Operators that allocate, fill, copy or reshape, and whose schema does not already say that they are views."""


class _Mode(TorchDispatchMode):
    """Sees every operator below autograd, the backward pass's too."""

    supports_higher_order_operators = True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code stays compiled; the matrix products and convolutions that it calls are seen all the same."""
        return True

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.uncounted: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        higher_order = isinstance(func, HigherOrderOperator)
        operator = func if higher_order else func._overloadpacket
        formula = FORMULAS.get(operator)
        if formula is None and not higher_order:
            # Under `inference_mode` a composite operator arrives whole; its parts are what has formulas.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        else:
            self.uncounted[func] += 1
        return result


class MacsCounter:
    """Counts the multiply-adds of what runs inside the `with`, backward passes and optimisers included.

    After the exit, `macs` is their number, and `uncounted` the calls of operators that compute something and have no
    formula, by name. It changes no result.
    """

    def __init__(self) -> None:
        self.macs = 0
        self.uncounted: dict[str, int] = {}
        self._mode = _Mode()

    def __enter__(self) -> Self:
        self._mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode.__exit__(kind, error, trace)
        self.macs = self._mode.flops // 2
        for func, calls in self._mode.uncounted.items():
            if isinstance(func, HigherOrderOperator):
                self.uncounted[func.name()] = calls
            elif not _computes_nothing(func):
                name = str(func._overloadpacket)
                self.uncounted[name] = self.uncounted.get(name, 0) + calls


def _computes_nothing(func: Any) -> bool:
    return (
        func.is_view
        or torch.Tag.inplace_view in func.tags
        or func.namespace in ("prim", "profiler")
        or func._overloadpacket.__name__ in COMPUTES_NOTHING
    )


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Without gradients torch would run a whole encoder layer as one operator, which has no formula."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def measure_macs(workload: Workload) -> Measurement:
    """Multiply-adds of one item: those of a call, divided by its items. Depends on shapes alone, not on the machine."""
    with torch.no_grad(), _attention_in_parts(), MacsCounter() as counter:
        workload.call(*workload.inputs)
    detail = {"call_macs": counter.macs, "items": workload.items, "uncounted": counter.uncounted}
    return Measurement(
        value=counter.macs / workload.items, unit="MAC", instrument="formulas of FlopCounterMode", detail=detail
    )
