"""The job's configuration: one table of keys, errors that name the key and never show the value."""

from __future__ import annotations

import re
import tomllib

import pytest

from conftest import ROOT
from fraudlog.errors import ConfigError
from fraudlog.jobs import KEYS, config_page, load_config, sample_config

NEEDED = {"store.path": "s", "log.path": "l", "log.format": "combined", "model.path": "m"}
WRONG = {
    "path": [3, "", ["a"]],
    "text": [3, "", True],
    "duration": ["soon", 30, "-1h", "0s"],
    "integer": ["1", 1.5, True],
    "number": ["1", True],
    "texts": ["a", [1], [True]],
    "integers": [3, ["a"], [True]],
    "table": ["a", [1]],
}


def load(folder, **values):
    (folder / "job.toml").write_text(sample_config(NEEDED | values))
    return load_config(folder / "job.toml")


def test_the_sample_is_a_configuration(tmp_path):
    """As it is written, and with every comment sign before a key taken away where there is a value."""
    (tmp_path / "job.toml").write_text(sample_config())
    config = load_config(tmp_path / "job.toml")
    assert config["store.path"] == tmp_path / "store"
    assert config["sessions.gap"] == "30min"
    text = re.sub(r'^# (\w+ = (?!""$))', r"\1", sample_config(), flags=re.MULTILINE)
    assert sum(len(keys) for keys in tomllib.loads(text).values()) > len(KEYS) - 12
    (tmp_path / "job.toml").write_text(text)
    load_config(tmp_path / "job.toml")


@pytest.mark.parametrize("key", [key for key in KEYS if key.kind != "logs"], ids=lambda key: key.name)
def test_each_key_is_checked(tmp_path, key):
    """A value of another kind, or out of bounds, is an error that names the key and says what it is for."""
    section, _, name = key.name.partition(".")
    bad = list(WRONG[key.kind])
    bad += [key.least - 1] if key.least is not None else []
    bad += [key.most + 1] if key.most is not None else []
    for value in bad:
        given = tomllib.loads(sample_config(NEEDED))
        given[section][name] = value
        (tmp_path / "job.toml").write_text(
            "\n".join(
                f"[{head}]\n" + "\n".join(f"{k} = {_toml(v)}" for k, v in keys.items()) for head, keys in given.items()
            )
        )
        with pytest.raises(ConfigError, match=re.escape(key.name)) as caught:
            load_config(tmp_path / "job.toml")
        assert caught.value.parameter == key.name
        assert key.meaning in str(caught.value)


def _toml(value):
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"').replace("True", "true")


def test_needed_keys_are_asked_for(tmp_path):
    """Each by its name."""
    for name in NEEDED:
        text = sample_config(NEEDED)
        section, _, key = name.partition(".")
        head, _, tail = text.partition(f"[{section}]")
        (tmp_path / "job.toml").write_text(f"{head}[{section}]{re.sub(rf'(?m)^{key} = .*$', '', tail, count=1)}")
        with pytest.raises(ConfigError, match=f"needs {re.escape(name)}"):
            load_config(tmp_path / "job.toml")


def test_an_unknown_key_names_its_neighbour(tmp_path):
    """A typo is no silent default."""
    (tmp_path / "job.toml").write_text(sample_config(NEEDED).replace("[log]", '[log]\npaht = "x"'))
    with pytest.raises(ConfigError, match=r"unknown key log\.paht; did you mean log\.path\?"):
        load_config(tmp_path / "job.toml")
    (tmp_path / "job.toml").write_text("colour = 3")
    with pytest.raises(ConfigError, match="unknown key colour"):
        load_config(tmp_path / "job.toml")


def test_no_error_shows_a_value(tmp_path):
    """A URL of a database holds a password; neither an error nor a repr shows it."""
    url = "postgresql://me:hunter2@db/x"
    config = load(tmp_path, **{"sql.url": url})
    assert config["sql.url"] == url
    assert "hunter2" not in repr(config)
    (tmp_path / "job.toml").write_text(sample_config(NEEDED).replace("[sql]", f'[sql]\nurl = ["{url}"]'))
    with pytest.raises(ConfigError, match=r"sql\.url") as caught:
        load_config(tmp_path / "job.toml")
    assert "hunter2" not in str(caught.value)
    (tmp_path / "job.toml").write_text(f'[sql]\nurl = "{url}')
    with pytest.raises(ConfigError, match="is no TOML") as caught:
        load_config(tmp_path / "job.toml")
    assert "hunter2" not in str(caught.value)


def test_files_that_can_not_be_read(tmp_path):
    """Missing, a folder, no UTF-8."""
    with pytest.raises(ConfigError, match="job init"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path)
    (tmp_path / "job.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "job.toml")


def test_the_page_has_every_key():
    """docs/job.md shows the table that the code goes by."""
    page = (ROOT / "docs" / "job.md").read_text()
    assert config_page() in page
    assert all(f"`{key.name}`" in page for key in KEYS)
