"""What the pages promise in numbers is what the code keeps to."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from scattergather.client.ending import NOTICE_SECONDS
from scattergather.client.seen.progress import PATIENCE
from scattergather.errors import TooLarge
from scattergather.link.pulse import SILENCE_SECONDS, SPEAK_SECONDS
from scattergather.link.stream.stream import GRACE, PIECE_BYTES, SLOWEST
from scattergather.reactor.heartbeat import ORPHANED_SECONDS, SILENT_SECONDS

ROOT = Path(__file__).parents[2]
VENV = re.findall(r"^VENV +\?= (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0]
RECORD_BYTES = 1 << 14
"""Of TLS: before it is whole nothing of it is heard."""

PROMISES = [
    ("README.md", f"after {NOTICE_SECONDS:.0f} s it says what it waits for"),
    ("README.md", str(TooLarge.of("", 1, 1)).rpartition("; ")[2]),
    ("README.md", f"what `make` has set up is in `{VENV}`, and there it is `{VENV}/bin/"),
    ("docs/guide.md", f"There the command is `{VENV}/bin/scattergather`"),
    ("docs/guide.md", f"takes more than {NOTICE_SECONDS:.0f} s"),
    ("docs/guide.md", f"A wait of more than {PATIENCE:.0f} s shows a bar"),
    ("docs/reliability.md", f"after {SILENT_SECONDS:.0f} s without a turn"),
    ("docs/reliability.md", f"its watchman {ORPHANED_SECONDS:.0f} s after its client"),
    ("docs/reliability.md", f"host that is silent for {SILENCE_SECONDS:.0f} s"),
    ("docs/reliability.md", f"does not come back within {GRACE:.0f} more"),
    ("docs/reliability.md", f"each end says something every {SPEAK_SECONDS:.0f} s"),
    (
        "docs/reliability.md",
        f"over one that brings {math.ceil(RECORD_BYTES / SILENCE_SECONDS / 1000)} kB/s",
    ),
    ("docs/reliability.md", f"over {SLOWEST // 1000} kB/s in each direction"),
    ("docs/reliability.md", f"a message of more than {PIECE_BYTES >> 10} kB may never"),
]


@pytest.mark.parametrize(("page", "promise"), PROMISES)
def test_a_page_promises_what_the_code_keeps_to(page: str, promise: str) -> None:
    assert promise in " ".join((ROOT / page).read_text().split())


def test_the_seconds_that_users_were_told_stay() -> None:
    assert (NOTICE_SECONDS, PATIENCE) == (2.0, 2.0)
    assert (ORPHANED_SECONDS, SILENT_SECONDS) == (5.0, 60.0)
