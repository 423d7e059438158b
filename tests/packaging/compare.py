"""Checks that wheels hold exactly the package as it stands in the source tree.

``python tests/packaging/compare.py PACKAGE WHEEL...``, from the root of the source tree. A link
in the tree (``scattergather/workers``) counts as the files behind it.
"""

from __future__ import annotations

import os
import sys
import zipfile


def files_of_tree(package: str) -> set[str]:
    """The paths of what a wheel of this package must hold, links followed."""
    found = set()
    for folder, folders, names in os.walk(package, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {f"{folder}/{name}" for name in names if name.endswith((".py", "py.typed"))}
    return found


def files_of_wheel(path: str) -> set[str]:
    """The paths in a wheel, without its metadata."""
    with zipfile.ZipFile(path) as wheel:
        names = {info.filename for info in wheel.infolist() if not info.is_dir()}
    return {name for name in names if ".dist-info/" not in name}


def main(package: str, *wheels: str) -> int:
    """Prints what is missing or too much in each wheel; 1 if there was anything."""
    tree = files_of_tree(package)
    wrong = 0
    for path in wheels:
        held = files_of_wheel(path)
        for name in sorted(tree ^ held):
            print(f"{'missing in' if name in tree else 'too much in'} {path}: {name}")
            wrong = 1
        print(f"{os.path.basename(path)}: {len(held)} files")
    return wrong


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
