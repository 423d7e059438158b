"""A bar while somebody waits: tqdm.auto, a widget where Jupyter has them, text elsewhere."""

from __future__ import annotations

import warnings
from typing import Any

from scattergather.client.gathering import Gathering

INTERVAL = 0.1


class Bar:
    """Shows how far a job is. On the thread that waits."""

    def __init__(self, gathering: Gathering) -> None:
        # tqdm.auto looks for widgets and takes a while; most sessions want no bar.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # noqa: PLC0415  (slow)

            self._bar: Any = tqdm(
                total=gathering.total, desc=gathering.label, unit="task", mininterval=0.0
            )
        self._gathering = gathering

    def update(self) -> None:
        """The bar stands where the job stands."""
        gathering, bar = self._gathering, self._bar
        if bar.total != gathering.total:
            bar.total = gathering.total
        if gathering.failed:
            bar.set_postfix(failed=gathering.failed, refresh=False)
        bar.update(gathering.settled - bar.n)

    def close(self) -> None:
        """The bar stays as it is."""
        self.update()
        self._bar.close()
