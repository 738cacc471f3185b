"""How many iterations a policy waits between decisions.

ASG (Chen and others, ICML 2020), as in its released code: `max(least, within + before // 20)`, up to the end of the
epoch, where `within` are the iterations since its beginning and `before` those of earlier epochs. So windows double
inside an epoch. By precedence only `before` is divided; the sum may have been meant.
"""

from collections.abc import Iterator
from typing import Literal

SHARE = 20
"""A window is a twentieth of what lies behind it."""

Reading = Literal["as-released", "sum-divided"]


def window_lengths(epochs: int, iterations: int, least: int, reading: Reading = "as-released") -> Iterator[int]:
    """The windows of `epochs` times `iterations`, the first of which is run before any decision."""
    for epoch in range(epochs):
        before, within = epoch * iterations, 0
        while within < iterations:
            wanted = within + before // SHARE if reading == "as-released" else (within + before) // SHARE
            length = min(max(least, wanted), iterations - within)
            yield length
            within += length
