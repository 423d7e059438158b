"""One scenario with one system: ``python -m benchmarks.chaos.stage PEER SCENARIO FOLDER``.

Writes the outcome to the file ``outcome`` in FOLDER, because systems print what they like.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.chaos.peers import by_name
from benchmarks.chaos.scenarios import SCENARIOS, abandoned
from benchmarks.chaos.tasks import Ledger
from benchmarks.system import Lacking


def main(peer: str, name: str, folder: str) -> None:
    """Plays the scenario, and ends without waiting for whatever still runs."""
    (scenario,) = [each for each in SCENARIOS if each.name == name]
    ledger = Ledger(os.path.join(folder, "ledger"))
    if scenario.play is None:
        abandoned(by_name()[peer], ledger)
        return
    try:
        words = scenario.play(by_name()[peer], ledger)
    except Lacking as why:
        words = str(why)
    Path(folder, "outcome").write_text(words)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
