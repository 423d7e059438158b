"""Where tasks run: what of the notebook's process they see, and in which processes that goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scattergather import spawnScatterGather
from scattergather.client.client import ScatterGather
from scattergather.errors import CannotImport
from scattergather.wire.code import rebuild
from tests.system.daemons import Daemon
from tests.system.process_driver import as_in_a_notebook

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]

SCRIPT = """
import os, sys
from scattergather import spawnScatterGather
def look(names):
    return os.getcwdb(), [os.environb.get(name) for name in names], hash("key"), pow(2, 5)
if __name__ == "__main__":
    for number in range(20):
        os.environ[f"GROWN{number}"] = "x" * 50_000
    with spawnScatterGather(*sys.argv[2:]) as c:
        there = c.submit(look, list(os.environb)).result(30)
    home = look(list(os.environb))
    with open(sys.argv[1], "w") as file:
        file.write(repr([there[0] == home[0], there[1] == home[1], there[2] == home[2], there[3]]))
"""


def run(tmp_path: Path, start: list[str], *arguments: str, **options: object) -> str:
    """What the script found: whether tasks see its directory, environment and hashes; and 32."""
    (tmp_path / "script.py").write_text(SCRIPT)
    found = tmp_path / "found"
    command = [*start, str(tmp_path / "script.py"), str(found), *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False, **options)  # type: ignore[call-overload]
    return found.read_text() if found.exists() else done.stderr.decode(errors="replace")


def test_whatever_the_environment_holds_tasks_see_it(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.mkdir()
    environment = os.environb | {
        b"PYTHONPATH": bytes(ROOT) + b":" + bytes(odd),
        b"PYTHONHASHSEED": b"7",
        b"PYTHONWARNINGS": b"error",
        b"GREETING": b"gr\xfc\xdfe",
        b"\xff": b"\xfe",
        b"OPENAI_API_KEY": b"mine",
        b"LANG": b"xx_YY.none",
        b"LC_ALL": b"xx_YY.none",
        b"TMPDIR": b"/nowhere",
    }
    del environment[b"HOME"]
    # Without standard descriptors, in a small stack and with few descriptors.
    limits = 'ulimit -s 512; ulimit -n 32; exec "$@" 0<&- 1>&- 2>&-'
    start = ["bash", "-c", limits, "bash", sys.executable]
    assert run(tmp_path, start, env=environment, cwd=odd) == "[True, True, True, 32]"


def test_without_a_proc_file_system_tasks_run(tmp_path: Path) -> None:
    start = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*start, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("only root can do without /proc")
    found = run(tmp_path, [*start, sys.executable], env=os.environb | {b"PYTHONPATH": bytes(ROOT)})
    assert found.endswith("32]")


@pytest.mark.parametrize("limit", ["-f 100", "-n 12"])
def test_where_files_may_not_grow_or_be_open_a_sentence_says_so(tmp_path: Path, limit: str) -> None:
    start = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", sys.executable]
    found = run(tmp_path, start, env=os.environb | {b"PYTHONPATH": bytes(ROOT)})
    assert f"raise the limit with `ulimit {limit[:2]}`" in found


def test_a_refresh_takes_over_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @as_in_a_notebook
    def look() -> object:
        import born_late  # noqa: PLC0415  (there, not here)

        return os.getcwd(), born_late.answer, os.environ.get("LATE"), "EARLY" in os.environ

    @as_in_a_notebook
    def die() -> None:
        os.kill(os.getpid(), 9)

    first, later = tmp_path / "first", tmp_path / "later"
    first.mkdir()
    later.mkdir()
    (later / "born_late.py").write_text("answer = 42\n")
    monkeypatch.chdir(first)
    monkeypatch.setenv("EARLY", "yes")
    with spawnScatterGather(workers=1) as c:
        assert c.submit(os.getcwd).result(30) == str(first)
        shutil.rmtree(first)
        # A worker is born into a directory that is gone.
        assert c.options(retries=0).submit(die).exception(30) is not None
        assert c.submit(abs, -1).result(30) == 1
        monkeypatch.chdir(later)
        monkeypatch.syspath_prepend(str(later))
        monkeypatch.delenv("EARLY")
        monkeypatch.setenv("LATE", "x" * 300_000)
        monkeypatch.setenv("WHERE", "pb://tub@host:1/name")
        c.command("refresh")
        assert c.submit(look).result(30) == (str(later), 42, "x" * 300_000, False)
        error = c.submit(as_in_a_notebook(lambda: os.environ["WHERE"])).exception(30)
        assert "WHERE is set in the notebook, but" in error.__notes__[1] + error.__notes__[0]


LATE = """
import sys, types
from importlib.util import module_from_spec, spec_from_file_location
from scattergather import spawnScatterGather

def by_path(name, path):
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def main(folder):
    c = spawnScatterGather(workers=1)
    run = lambda *call: c.submit(*call).result(30)
    assert run(pow, 2, 2) == 4
    sys.path.insert(0, folder)
    import family.child, colorsys
    assert run(family.child.grown, 1).size == 3  # its class comes home, too
    assert run(lambda: family.child.grown(2).size) == 4
    assert run(family.child.adder(5), 1) == 6
    assert run(lambda each: each.size, family.child.Child(7)) == 7
    assert run(colorsys.whose) == "ours"  # not the one of the library
    one, two = (by_path("one_name", folder + each) for each in ("/colorsys.py", "/other.py"))
    assert run(lambda: (one.whose(), two.whose())) == ("ours", "the other")
    sys.modules["one_name"] = two
    assert run(two.whose) == "the other"
    made = types.ModuleType("made_here")
    exec("count = 0\\ndef up():\\n    global count\\n    count += 1\\n    return count\\n"
         "class Here:\\n    def up(self): return up()\\n", vars(made))
    assert run(lambda: made.Here().up()) == 1
    sys.modules["made_here"] = made
    assert [run(made.up), run(made.up)] == [1, 2]
    assert run(lambda each: each.up(), made.Here()) == 1  # no other function sees what one has left
    assert run(made.Here).up() == 1
    print("right")

if __name__ == "__main__":
    main(sys.argv[1])
"""


def test_modules_that_came_later_that_were_loaded_by_path_or_made_here_are_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text(LATE)
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "__init__.py").write_text("")
    (tmp_path / "family" / "child.py").write_text(
        "from family.parent import Parent\n"
        "class Child(Parent): pass\n"
        "def grown(by): return Child(2 + by)\n"
        "def adder(by): return lambda number: number + by\n"
    )
    parent = "class Parent:\n    def __init__(self, size): self.size = size\n"
    (tmp_path / "family" / "parent.py").write_text(parent)
    (tmp_path / "colorsys.py").write_text("def whose(): return 'ours'\n")
    (tmp_path / "other.py").write_text("def whose(): return 'the other'\n")
    command = [sys.executable, str(tmp_path / "script" / "script.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "right\n", done.stderr


def test_a_module_that_a_host_lacks_is_named_with_its_file() -> None:
    with pytest.raises(CannotImport, match=r"'lacking'.*loaded from /nowhere/lacking.py.*a cell"):
        rebuild.import_from("lacking", "/nowhere", "/nowhere/lacking.py")


def test_hosts_hash_like_their_client_and_say_which_variables_they_keep(
    start: Callable[..., Daemon], spawn: Callable[..., ScatterGather], tmp_path: Path
) -> None:
    shim = "import os; os.environ.update(DAEMONS_TOKEN='x', DAEMONS_OWN='y')"
    furl_file = tmp_path / "furl"
    daemon = start("--furl-file", str(furl_file), shim=shim)
    daemon.furl()
    environment = os.environb | {b"PYTHONPATH": bytes(ROOT), b"PYTHONHASHSEED": b"11"}
    found = run(tmp_path, [sys.executable], str(furl_file), env=environment)
    assert found.endswith("True, 32]")
    c = spawn(str(furl_file))
    assert c.submit(os.getenv, "DAEMONS_OWN").result(30) == "y"
    notes = {
        name: " ".join(
            c.submit(as_in_a_notebook(lambda name: os.environ[name]), name).exception(30).__notes__
        )
        for name in ("DAEMONS_TOKEN", "NOWHERE")
    }
    assert "DAEMONS_TOKEN is set in this host's pool, whose tasks get no" in notes["DAEMONS_TOKEN"]
    assert "not the notebook's: set NOWHERE there" in notes["NOWHERE"]
    c.command("die")
    assert daemon.end() == 0
