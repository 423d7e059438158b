"""One system in one process: started, led through the cases, stopped.

``python -m benchmarks.stage SYSTEM FILE CASE...`` writes a line of JSON for each figure to FILE,
because what systems print themselves goes to stdout. With ``short`` in the environment variable
``BENCHMARKS_SCALE`` everything is smaller.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

from benchmarks import cases, functions, memory
from benchmarks.scale import FULL, SHORT
from benchmarks.system import Lacking
from benchmarks.systems.roster import by_name


def write(out: TextIO, line: dict[str, Any]) -> None:
    """One line, at once, so that a system that hangs later keeps its figures."""
    out.write(json.dumps(line) + "\n")
    out.flush()


def main(name: str, path: str, wanted: list[str]) -> None:
    """Runs the wanted cases on the named system."""
    scale = SHORT if os.environ.get("BENCHMARKS_SCALE") == "short" else FULL
    memory.mark()
    system = by_name()[name]
    with open(path, "w") as out:
        system.prepare()
        began = time.perf_counter()
        system.start()
        try:
            try:
                system.roundtrip(functions.noop, 0)
            except Lacking:
                pass
            else:
                first = time.perf_counter() - began
                notes = {**system.notes(), "first result": first}
                write(out, {"case": cases.START, "figure": first, "notes": notes})
            for case in cases.CASES:
                if case.name in wanted:
                    write(out, cases.figures_of(case, system, scale))
        finally:
            system.stop()
        write(out, {"case": "stopped"})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
