"""The notebooks run from top to bottom, and what they show is looked at."""

from __future__ import annotations

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))


def outputs(notebook) -> tuple[str, int]:
    """Return all text a notebook printed, and how many pictures it drew."""
    text, pictures = "", 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text += output.get("text", "") + str(data.get("text/plain", ""))
            pictures += "image/png" in data
    return text, pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the notebook client's own
def test_notebook_runs_and_shows_what_it_says(path):
    """No error, the flagged session's reasons, and a plot with something in it."""
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    text, pictures = outputs(notebook)
    assert "asked for paths that only scanners ask for" in text
    assert "9999" in text.replace(",", "")
    assert pictures >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_and_its_text_are_a_pair(path):
    """The .ipynb on display is the .py that is tested: `make notebook` writes it."""
    shown = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    text = jupytext.read(path)
    assert [(cell.cell_type, cell.source) for cell in shown.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ]
    assert outputs(shown)[1] >= 2
