"""A notebook that forks, and results that lie in memory which workers use again."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.large import MB, same
from tests.system.process_driver import as_in_a_notebook, eventually

pytestmark = pytest.mark.system


def test_what_a_copy_of_the_client_reads_of_a_result_does_not_change(c, tmp_path: Path) -> None:
    @as_in_a_notebook
    def filled(number: int) -> Any:
        return np.full(4 * MB // 8, float(number))

    seen = tmp_path / "seen"
    result = c.submit(filled, 1).result()
    pid = os.fork()
    if pid == 0:
        try:
            while not (tmp_path / "go").exists():
                time.sleep(0.01)
            seen.write_text(str(set(result[:: MB // 64])))
        finally:
            os._exit(0)
    del result
    for number in range(2, 12):  # they would take its memory
        assert same(c.submit(filled, number).result(), filled(number))
        gc.collect()
    large = c._session.large
    assert large.inherited._held
    (tmp_path / "go").touch()
    os.waitpid(pid, 0)
    assert seen.read_text() in ("{1.0}", "{np.float64(1.0)}")

    def settled() -> bool:
        c.submit(filled, 0).result()
        return not large.inherited._held

    eventually(settled)
