"""Write each notebook from its paired text, with its output. Run by ``make notebook``."""

from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

for path in sorted(Path(__file__).parent.glob("[0-9]*.py")):
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day are no content
    nbformat.write(notebook, path.with_suffix(".ipynb"))
