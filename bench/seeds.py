"""One seed for each use, derived by hashing: no two uses share a stream, and none depends on the order of calls."""

import hashlib
import json


def derive_seed(*parts: str | int) -> int:
    """A seed below 2**63 from any names and numbers; the same on every machine and Python."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
