"""Random numbers that differ from worker to worker.

Forked siblings start with the same state in every global generator, and would draw the same
numbers. A worker seeds those that are loaded anew; what is loaded later seeds itself.
"""

from __future__ import annotations

import os
import sys


def reseed() -> None:
    """Every loaded global generator (random, numpy, torch) starts from the kernel's randomness."""
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
