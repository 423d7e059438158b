from __future__ import annotations

from scattergather.workers.daemon.process import last_words

DUMP = """printed
Fatal Python error: Segmentation fault

Current thread 0x00007f0c (most recent call first):
  File "model.py", line 88 in fit
  File "/x/scattergather/workers/process/task/chunk.py", line 64 in perform
  File "<frozen runpy>", line 88 in _run_code

Extension modules: numpy.core (total: 1)
"""


def test_what_was_printed_is_told_from_where_it_crashed() -> None:
    output, where = last_words(DUMP)
    assert output == "printed\n"
    assert where.splitlines() == [
        "Segmentation fault",
        "Current thread 0x00007f0c (most recent call first):",
        '  File "model.py", line 88 in fit',
    ]


def test_without_a_crash_all_of_it_was_printed() -> None:
    assert last_words("just text") == ("just text", "")
