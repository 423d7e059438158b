"""What tasks pickle by themselves: the notebook's functions and classes stand in ``__main__``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

NOTEBOOK = """
import dataclasses, enum, functools, pickle, sys
import multiprocessing as mp
import typing
import joblib
import pandas
from scattergather import spawnScatterGather

DATA = [1, 2]
threshold = 1

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Model:
    weight: float
    class Inner: pass
    def save(self): return pickle.dumps(self)

class Sub(Model): pass

def double(x): return 2 * x

@functools.lru_cache
def cached(x): return x

def all_kinds(): return pickle.dumps([Colour.RED, Model.Inner(), Sub(3.0), double, cached, Model])
def dumped(thing): return pickle.dumps(thing)
def pooled():
    with mp.get_context("fork").Pool(1) as pool: return pool.map(double, [1, 2])
def keyed(model): return Model(2 * model.weight)
def spawned(method):
    with mp.get_context(method).Pool(1) as pool: return pool.map_async(keyed, [Sub(1.5)]).get(30)
def by_joblib(path):
    joblib.dump(Model(1.5), path)
    return joblib.load(path)
def seen(): return sorted(name for name in vars(sys.modules["__main__"]) if name[0] != "_")
@dataclasses.dataclass
class Node:
    following: "Node | None" = None
    def link(self, other: "Node") -> "Node": return other

def hinted(node: "Node", by: "type[Node]" = Node): return node
def hints(node):
    return [typing.get_type_hints(each) for each in (Node, Node.link, hinted, type(node))]

class Quoted: pass
def quoted(thing: "Quoted"): return thing
def hints_of_quoted(): return typing.get_type_hints(quoted)
def hints_of_named(): return Quoted, typing.get_type_hints(quoted)

def query(frame): return len(frame.query("a > @threshold"))
def query_local(frame, threshold): return len(frame.query("a > @threshold"))
def seen_data(): return DATA, seen()

def main():
    c = spawnScatterGather(workers=1)
    run = lambda *call: c.submit(*call).result(30)
    loaded = pickle.loads(run(all_kinds))
    assert loaded[0] is Colour.RED and type(loaded[1]) is Model.Inner and loaded[2] == Sub(3.0)
    assert loaded[3:] == [double, cached, Model]
    # By arguments alone: classes, functions, bound methods, partials; read back here.
    for thing in (Model(1.0), [Colour.RED], double, cached, Sub, functools.partial(double, 2)):
        back = pickle.loads(run(dumped, thing))
        assert type(back) is type(thing) and (back == thing or back() == 4), thing
    assert pickle.loads(run(Sub(4.0).save)) == Sub(4.0)
    assert run(pooled) == [2, 4]
    assert run(spawned, "spawn") == run(spawned, "forkserver") == [Model(3.0)]
    assert run(by_joblib, sys.argv[1]) == joblib.load(sys.argv[1]) == Model(1.5)
    assert [each["following"] for each in run(hints, Node())[::3]] == [Node | None] * 2
    assert run(hints, Node())[1:3] == [*map(typing.get_type_hints, (Node.link, hinted))]
    # Withdrawn again, and no data.
    assert run(seen) == ["seen"]
    assert run(seen_data) == ([1, 2], ["seen", "seen_data"])
    # Each job has its own version, pushed names are back behind it.
    old = Model
    ref = c.put(Model(5.0))
    job = c.addJob([((Model(1.0),), {})] * 3, dumped)
    c.push_code("class Model: pushed = True")
    newer = dataclasses.make_dataclass("Model", [("weight", float), ("more", int, 7)])
    globals()["Model"] = newer
    newer.__module__ = "__main__"
    assert pickle.loads(run(dumped, Model(2.0))).more == 7
    assert pickle.loads(run(dumped, ref)).weight == 5.0
    assert all(b"Model" in each for each in job.results())
    assert run(lambda: sys.modules["__main__"].Model.pushed)
    c.push_code("")
    for _ in range(2):  # the second time all is known there
        mixed = [c.submit(dumped, made(1.0)) for made in (old, newer) * 3]
        assert [len(each.result(30)) for each in mixed]
    # Two classes of one name in one chunk: each task finds its own.
    calls = [((made(1.0),), {}) for made in (old, newer) * 30]
    assert len(c.addJob(calls, dumped).results()) == 60
    # A name in a string.
    frame = pandas.DataFrame({"a": [1, 2]})
    assert run(query_local, frame, 1) == 1
    error = c.submit(query, frame).exception(30)
    assert isinstance(error, NameError)
    assert any("pass threshold as an argument" in note for note in error.__notes__), error.__notes__
    error = c.submit(hints_of_quoted).exception(30)
    assert any("or name it in the function without" in note for note in error.__notes__)
    assert run(hints_of_named) == (Quoted, {"thing": Quoted})
    assert not any("pass" in note for note in c.submit(lambda: nowhere).exception(30).__notes__)
    print("right")

if __name__ == "__main__":
    main()
"""


def test_what_tasks_pickle_by_themselves_is_the_notebooks(tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    command = [sys.executable, str(tmp_path / "notebook.py"), str(tmp_path / "saved")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout == "right\n", done.stderr
