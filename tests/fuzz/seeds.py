"""Write the corpus lines of a format as seeds for the fuzzer: ``python tests/fuzz/seeds.py FORMAT FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus" / "reading"


def main() -> None:
    """Write one file a line, with its header if it has one."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(CORPUS.glob("*.jsonl")) if name == "auto" else [CORPUS / f"{name}.jsonl"]
    for file in files:
        for number, text in enumerate(file.read_text("utf-8").splitlines()[: 2 if name == "auto" else 60]):
            row = json.loads(text)
            lines = [row["header"]] if "header" in row else []
            (folder / f"{file.stem}-{number}").write_text("\n".join([*lines, row["line"], ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
