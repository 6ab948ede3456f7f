"""What holds for the project as a whole: public names, cheap import, direction of imports, documents."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import fraudlog
from conftest import ROOT
from fraudlog import errors, schema
from fraudlog.errors import FraudlogError
from fraudlog.sessions import FEATURES

PUBLIC = {
    "Detector",
    "FraudlogError",
    "LiveSessions",
    "ParsedLog",
    "Policy",
    "build_sessions",
    "describe_reasons",
    "enrich",
    "iter_log",
    "read_log",
    "sessionize",
}


def test_public_names_are_these():
    """A new name is a decision: change this set with it."""
    assert set(fraudlog.__all__) == PUBLIC
    assert all(getattr(fraudlog, name).__doc__ for name in PUBLIC)
    assert set(dir(fraudlog)) == PUBLIC | {"__version__"}


def test_unknown_name_lists_the_known():
    """A typo is answered with what is there."""
    with pytest.raises(AttributeError, match="it has Detector"):
        fraudlog.detector  # noqa: B018 -- the access is the test


def test_every_modules_all_is_what_it_defines():
    """`__all__` names only what is there, sorted, in every module."""
    for path in (ROOT / "src" / "fraudlog").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        if path.name == "__main__.py":
            continue
        assert names, f"{path} lacks __all__"


def test_import_costs_next_to_nothing():
    """Neither pandas nor scikit-learn nor Arrow before the first use."""
    heavy = {"pandas", "sklearn", "pyarrow", "numpy", "matplotlib", "jinja2", "cryptography"}
    code = f"import sys, fraudlog, fraudlog.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_loading_a_model_does_not_import_scikit_learn(tmp_path, sample_detector):
    """Fitting needs it, scoring never does."""
    sample_detector.save(tmp_path / "m")
    model = str(tmp_path / "m")
    code = f"import sys, fraudlog as fl; fl.Detector.load({model!r}); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_rooms_import_only_from_rooms_before_them():
    """`lint-imports` reads the order from pyproject.toml."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_every_column_and_feature_is_described():
    """Meaning for all, unit for numbers, privacy category for what is of a person."""
    tables = (schema.EVENTS, schema.DERIVED, schema.REJECTED, schema.SESSIONS, schema.SCORES, schema.DECISIONS)
    for table in tables:
        names = [column.name for column in table]
        assert len(names) == len(set(names))
        assert all(column.meaning for column in table)
        assert all(column.category for column in table if column.treatment in ("ip", "token"))
    assert len({row.name for row in FEATURES}) == len(FEATURES) >= 20
    assert all(row.meaning and row.unit and row.family for row in FEATURES)


def test_exit_codes_in_the_docstring_are_the_classes_own():
    """The tree drawn in errors.py can't drift from the classes."""
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert issubclass(cls, FraudlogError)
        drawn = next(line for line in inspect.getdoc(errors).splitlines() if name in line and "   " in line)
        assert str(cls.exit_code) in drawn.split()


def test_no_registry_address_is_pinned():
    """Names and versions only."""
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "-r "))]
        assert lines
        assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)
