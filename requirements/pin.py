"""Write requirements/*.txt: the exact versions that pip chooses today for what pyproject.toml asks for.

Only names and versions are written, no addresses. Run it with ``make requirements``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = "# Written by `make requirements`; change pyproject.toml, not this file.\n"


def expand(groups: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    """Return the requirements of a dependency group and of the groups it includes."""
    found: list[str] = []
    for item in groups[name]:
        found += expand(groups, item["include-group"]) if isinstance(item, dict) else [item]
    return [item for item in found if not item.startswith("fraudlog")]


def pinned(wanted: list[str]) -> list[str]:
    """Install `wanted` into a fresh environment and return what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        listed = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "==" in line]


def main() -> None:
    """Pin the core, then everything."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = [item for extra in project["project"].get("optional-dependencies", {}).values() for item in extra]
    core = pinned([*project["project"]["dependencies"], *project["build-system"]["requires"], "editables"])
    every = pinned([*core, *extras, *expand(project["dependency-groups"], "dev")])
    rest = [line for line in every if line not in core]
    (ROOT / "requirements" / "core.txt").write_text(HEAD + "\n".join(core) + "\n")
    (ROOT / "requirements" / "test.txt").write_text(HEAD + "-r core.txt\n" + "\n".join(rest) + "\n")
    sys.stdout.write(f"{len(core)} pinned for use, {len(rest)} more for tests\n")


if __name__ == "__main__":
    main()
