"""The installed package does its main job; run as a plain script from any folder.

There is no ``if __name__ == "__main__"`` here on purpose: a script must not need one.
"""

import os

from scattergather import spawnScatterGather


def where(number):
    """Lives in this script only, so it has to travel."""
    return number * number, os.getpid()


c = spawnScatterGather(workers=2)
go = c.waitForResult()
print("go:", go)
job = c.addJob([((number,), {}) for number in range(100)], where)
results = c.waitForResult()
squares = [square for square, _ in results]
workers = {pid for _, pid in results}
assert squares == [number * number for number in range(100)], squares
assert os.getpid() not in workers, workers
assert c.submit(where, 12).result()[0] == 144
c.shutdown()
print(f"smoke: {len(squares)} of 100 results from {len(workers)} workers")
