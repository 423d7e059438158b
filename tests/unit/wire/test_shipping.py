"""Code by digest: through a fresh process and back, and the rules of one shipment."""

from __future__ import annotations

import copy
import gc
import json
import subprocess
import sys
import types
import weakref
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from scattergather.errors import CannotImport, CannotPickle
from scattergather.wire.code.code import CodeBlob
from scattergather.wire.code.codebook import CodeBook
from scattergather.wire.code.names import complete, global_names
from scattergather.wire.code.shipping import Shipment
from scattergather.wire.values.payload import Packer, dumps, loads

HERE = Path(__file__).parent


def deliver(shipment: Shipment) -> CodeBook:
    """A worker's book with all that the shipment has."""
    worker = CodeBook()
    for code in shipment.code.values():
        worker.add(code)
    return worker


def test_everything_a_notebook_holds_works_in_another_process_and_comes_home() -> None:
    child = subprocess.run(
        [sys.executable, str(HERE / "notebook_side.py"), str(HERE / "worker_side.py")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE.parents[2])},
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    checks = json.loads(child.stdout)
    assert len(checks) > 50
    assert {name: said for name, said in checks.items() if said != "ok"} == {}


def test_a_class_is_digested_again_by_each_shipment_and_once_within_one(notebook: Any) -> None:
    main = notebook("class A:\n    v = 1\ndef f(): return A.v\ndef g(): return A().v")
    book = CodeBook()
    first = Shipment(book)
    first.freeze(main["f"])
    first.freeze(main["g"])
    assert len(first.code) == 3
    notebook("A.v = 2")
    second = Shipment(book)
    old, new = first.freeze(main["f"]), second.freeze(main["f"])
    assert deliver(first).function(old)() == 1
    assert deliver(second).function(new)() == 2


def test_the_same_code_has_the_same_digest_in_every_shipment(notebook: Any) -> None:
    main = notebook("class A:\n    def m(self): return B\nclass B(A): pass\ndef f(): return A, B")
    digests = set()
    for _ in range(3):
        shipment = Shipment(CodeBook())
        digests.add((shipment.freeze(main["f"]), tuple(sorted(shipment.code))))
        kept = [main["f"].__code__.co_consts, main["A"]]  # changes reference counts
    assert len(digests) == 1, kept


def test_who_only_looks_at_a_class_does_not_change_its_digest(notebook: Any) -> None:
    main = notebook("class A: pass")
    first, second = Shipment(CodeBook()), Shipment(CodeBook())
    first.reduce_class(main["A"])
    copy.copy(main["A"]())  # leaves __slotnames__
    assert main["A"].__annotations__ == {}  # and this leaves them
    second.reduce_class(main["A"])
    assert list(first.code) == list(second.code)


def test_needs_name_the_bundles_and_missing_lists_those_not_delivered(notebook: Any) -> None:
    main = notebook("class A: pass\ndef f(): return A")
    shipment = Shipment(CodeBook())
    digest = shipment.freeze(main["f"])
    (need,) = shipment.code[digest].needs
    worker = CodeBook()
    assert worker.missing([digest]) == [digest]
    worker.add(shipment.code[digest])
    assert worker.missing([digest]) == [need]
    with pytest.raises(CannotImport, match="did not arrive"):
        worker.function(digest)
    worker.add(shipment.code[need])
    assert worker.missing([digest]) == []
    assert worker.function(digest)().__name__ == "A"


def test_byte_code_is_marked_with_its_python_and_a_reference_is_not() -> None:
    shipment = Shipment(CodeBook())
    marked = shipment.code[shipment.freeze(lambda: 1)]
    assert marked.python == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert shipment.code[shipment.freeze(json.dumps)].python == ""


def test_code_is_frozen() -> None:
    with pytest.raises(AttributeError):
        CodeBlob(digest=b"", blob=b"").blob = b"x"  # type: ignore[misc]


def test_objects_come_home_as_the_present_class_after_the_cell_was_run_again(notebook: Any) -> None:
    book = CodeBook()
    source = "class A:\n    pass\na = A()"
    shipment = Shipment(book)
    body = dumps(notebook(source)["a"], shipment)
    assert type(loads(body, book)) is notebook("")["A"]
    present = notebook(source)["A"]
    assert type(loads(body, book)) is present


def test_objects_come_home_by_value_when_the_class_is_gone(notebook: Any) -> None:
    book = CodeBook()
    main = notebook("def make():\n    class A:\n        v = 5\n    return A()")
    body = dumps(main["make"](), Shipment(book))
    gc.collect()
    assert loads(body, book).v == 5


def test_running_a_cell_again_keeps_no_old_class_alive(notebook: Any) -> None:
    book = CodeBook()
    gone = []
    for number in range(20):
        main = notebook(f"class A:\n    v = {number}")
        Shipment(book).reduce_class(main["A"])
        gone.append(weakref.ref(main["A"]))
    gc.collect()
    assert sum(reference() is not None for reference in gone) == 1


def test_a_class_made_by_a_task_comes_home_once_for_all_its_objects(notebook: Any) -> None:
    worker, home = CodeBook(), CodeBook()
    made = notebook("def make():\n    class A: pass\n    return A")["make"]()
    packer = Packer(worker)
    bodies = []
    for _ in range(2):
        packer.pack(made())
        bodies.append(packer.take()[1])
    one, two = (loads(body, home) for body in bodies)
    assert type(one) is type(two) is not made


def test_classes_that_came_by_digest_go_home_by_the_same_digest(notebook: Any) -> None:
    client = CodeBook()
    shipment = Shipment(client)
    main = notebook("class A: pass\na = A()")
    body = dumps(main["a"], shipment)
    worker = deliver(shipment)
    there = loads(body, worker)
    assert type(there) is not main["A"]
    assert type(loads(dumps(there, worker), client)) is main["A"]


def test_an_absent_module_is_named_with_the_cure() -> None:
    module = types.ModuleType("surely_absent")
    module.__spec__ = ModuleSpec("surely_absent", None)  # as if it had a file
    sys.modules["surely_absent"] = module
    try:
        exec("def f(): pass\nclass C: pass", module.__dict__)
        shipment = Shipment(CodeBook())
        by_name = shipment.freeze(module.f)
        by_module = shipment.freeze(lambda: module)
    finally:
        del sys.modules["surely_absent"]
    worker = deliver(shipment)
    for digest in (by_name, by_module):
        with pytest.raises(CannotImport, match=r"surely_absent.*push_code") as caught:
            worker.function(digest)
        assert caught.value.module == "surely_absent"


def test_what_a_closure_cannot_send_is_named(notebook: Any) -> None:
    main = notebook("import threading\nlock = threading.Lock()\ndef g(): return lock\n"
                    "def f(): return g()")  # fmt: skip
    with pytest.raises(CannotPickle) as caught:
        Shipment(CodeBook()).freeze(main["f"])
    assert "function 'f' -> global 'g' -> global 'lock'" in str(caught.value)


def test_resident_names_complete_a_function_and_the_helpers_it_brought(notebook: Any) -> None:
    main = notebook("def g(): return resident()\ndef f(): return g() + own\nown = 1")
    shipment = Shipment(CodeBook())
    digest = shipment.freeze(main["f"])
    function = deliver(shipment).function(digest)
    with pytest.raises(NameError):
        function()
    complete(function, {"resident": lambda: 41, "own": 1000})
    assert function() == 42


def test_global_names_leave_attributes_out_and_go_into_nested_code() -> None:
    def function(thing: Any) -> Any:
        return lambda: thing.json + len(HERE.parts)

    assert global_names(function.__code__) == ("HERE", "len")


def test_a_subclass_in_a_later_bundle_does_not_run_the_hook_of_its_base_again(
    notebook: Any,
) -> None:
    main = notebook(
        "class Base:\n    seen = []\n    def __init_subclass__(cls, *, key): cls.seen.append(key)\n"
        "def base(): return Base\n"
    )
    shipment = Shipment(CodeBook())
    first = shipment.freeze(main["base"])
    notebook("class Sub(Base, key=1): pass\ndef sub(): return Sub, Sub.seen")
    second = shipment.freeze(main["sub"])
    worker = deliver(shipment)
    assert worker.function(first)().seen == []
    kind, seen = worker.function(second)()
    assert kind.__bases__ == (worker.function(first)(),)
    assert seen == []
    with pytest.raises(TypeError):
        type("Other", (kind,), {})


def test_an_interrupt_while_packing_leaves_nothing_behind() -> None:
    class Interrupting:
        def __reduce__(self) -> Any:
            raise KeyboardInterrupt

    packer = Packer(CodeBook())
    with pytest.raises(KeyboardInterrupt):
        packer.pack(["x" * 200_000, Interrupting()])
    assert packer.take()[1] == b""
