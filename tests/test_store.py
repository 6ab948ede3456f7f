"""The store: equal rows make equal files, changes are whole, other engines read it as it stands."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError, InputError, LockError, OutputError, SchemaError
from fraudlog.store import TABLES, open_store

PURPOSE = "essential.fraud_detection"
HOUR = 3_600_000_000
DAY = date(1970, 1, 1)


def scores(*hours: float, name: str = "s") -> tuple[pa.Table, pa.Array]:
    """Scores of sessions that ended at these hours since 1970."""
    at = pa.array([int(hour * HOUR) for hour in hours], pa.timestamp("us", "UTC"))
    ids = [f"{name}{hour:07.3f}" for hour in hours]
    return pa.table({"session_id": ids, "end": at, "risk": [hour / 1000 for hour in hours]}), at


def writing(path, **options):
    return open_store(path, purpose=PURPOSE, mode="write", **options)


def add(path, *hours: float, **options) -> None:
    with writing(path, **options) as store, store.transaction("test") as change:
        change.append("scores", *scores(*hours))


def tree(path) -> dict[str, bytes]:
    """Every file but the ledger's."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and "ledger" not in file.relative_to(path).parts
    }


@settings(max_examples=25)
@given(
    hours=st.lists(st.integers(0, 60_000), min_size=1, max_size=30, unique=True),
    cuts=st.sets(st.integers(1, 29)),
    slice_hours=st.sampled_from([1, 6, 24]),
)
def test_equal_rows_make_equal_trees(tmp_path_factory, hours, cuts, slice_hours):
    """In whatever order and in however many changes they came."""
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    add(whole, *(hour / 1000 for hour in sorted(hours)), slice_hours=slice_hours)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(hours)), len(hours)]
    for first, end in pairwise(bounds):
        add(parts, *(hour / 1000 for hour in hours[first:end]), slice_hours=slice_hours)
    assert tree(whole) == tree(parts)


def test_rows_come_back_by_day_and_column(tmp_path):
    """In order of time, with the columns asked for."""
    add(tmp_path, 1, 25, 2)
    with open_store(tmp_path, purpose=PURPOSE) as store:
        assert store.days("scores") == [DAY, date(1970, 1, 2)]
        assert store.read("scores", columns=["risk"], days=[DAY]).to_pydict() == {"risk": [0.001, 0.002]}
        assert len(store.read("scores")) == 3
        assert len(store.read("sessions")) == 0
        assert [file.name[:8] for file in store.files("scores", [DAY])] == ["part-00-"]


def test_rewriting_touches_only_what_changes(tmp_path):
    """Taking a row out gives the tree of a store that never had it; other files keep their very inode."""
    with_row, without = tmp_path / "with", tmp_path / "without"
    add(with_row, 1, 2, 25, 49)
    add(without, 1, 25, 49)
    before = {file: file.stat().st_ino for file in with_row.rglob("*.parquet")}
    with writing(with_row) as store, store.transaction("erase") as change:
        touched = change.rewrite("scores", lambda rows: rows.filter(pa.compute.not_equal(rows["risk"], 0.002)))
    assert touched == 1
    assert tree(with_row) == tree(without)
    assert sum(file.exists() and file.stat().st_ino == inode for file, inode in before.items()) == 2


def test_a_part_without_rows_leaves(tmp_path):
    """Its file and its folder too."""
    add(tmp_path / "a", 1, 25)
    with writing(tmp_path / "a") as store, store.transaction("erase") as change:
        change.rewrite("scores", lambda rows: rows.slice(0, 0), days=[DAY])
    add(tmp_path / "b", 25)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert not (tmp_path / "a" / "scores" / "day=1970-01-01").exists()


def test_replacing_a_part_and_appending_to_it_in_one_change(tmp_path):
    """A change sees its own work."""
    add(tmp_path / "a", 1, 2)
    with writing(tmp_path / "a") as store, store.transaction("test") as change:
        change.replace("scores", *scores(3))
        change.append("scores", *scores(4))
        change.append("scores", *scores(25))
    add(tmp_path / "b", 3, 4, 25)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_failed_change_leaves_no_trace(tmp_path):
    """The store stands as it did, and nothing half-written lies about."""
    add(tmp_path, 1)
    before = tree(tmp_path)

    def fail() -> None:
        with writing(tmp_path) as store, store.transaction("test") as change:
            change.append("scores", *scores(2))
            change.put("state/a.json", b"{}")
            change.append("scores", pa.table({"cookie": ["x"]}), pa.array([0]))

    with pytest.raises(SchemaError):
        fail()
    assert tree(tmp_path) == before


def test_what_a_crash_left_is_cleared(tmp_path):
    """Files that the manifest does not name are none of the store's."""
    add(tmp_path, 1)
    before = tree(tmp_path)
    for name in ("scores/day=1970-01-01/part-00-x.parquet", ".staging/a", "state/b.json", ".manifest.json.new"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    with open_store(tmp_path, purpose=PURPOSE) as store:
        assert len(store.read("scores")) == 1
        assert len(store.verify()) == 3
    with writing(tmp_path) as store:
        assert store.verify() == []
    assert tree(tmp_path) == before


def test_documents_and_position(tmp_path):
    """Documents are the tree's; the position is the ledger's, and outlives changes that do not move it."""
    with writing(tmp_path) as store:
        with store.transaction("run") as change:
            change.put("state/a.json", b"1")
            change.position = {"offset": 7}
        with store.transaction("erase") as change:
            change.put("state/a.json", b"2")
        assert store.document("state/a.json") == b"2"
        assert store.document("state/b.json") is None
        assert store.position == {"offset": 7}
        with store.transaction("run") as change:
            change.position = {"offset": 8}
        with store.transaction("erase") as change:
            change.remove("state/a.json")
    with open_store(tmp_path, purpose=PURPOSE) as store:
        assert store.document("state/a.json") is None
        assert store.position == {"offset": 8}
    assert set(tree(tmp_path)) == {"manifest.json"}
    log = [json.loads(line) for line in (tmp_path / "ledger" / "commits.jsonl").read_text().splitlines()]
    assert [entry["what"] for entry in log] == ["run", "erase", "run", "erase"]
    assert all(one["after"] == other["before"] for one, other in pairwise(log))
    assert len(list((tmp_path / "ledger").glob("position-*"))) == 1


def test_a_change_that_was_not_logged_is_noted_later(tmp_path):
    """The log of commits has no gap, even if a process died between the change and its entry."""
    add(tmp_path, 1)
    log = tmp_path / "ledger" / "commits.jsonl"
    kept = log.read_bytes()
    add(tmp_path, 2)
    log.write_bytes(kept)
    writing(tmp_path).close()
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert (second["what"], second["before"]) == ("recovered", first["after"])


def test_one_writer_at_a_time(tmp_path):
    """The second gets an error with exit code 4; readers do not wait."""
    add(tmp_path, 1)
    with writing(tmp_path):
        with pytest.raises(LockError, match="another process writes") as caught:
            writing(tmp_path)
        assert caught.value.exit_code == 4
        assert len(open_store(tmp_path, purpose=PURPOSE).read("scores")) == 1
    writing(tmp_path).close()


def test_a_reader_sees_the_next_manifest_when_its_files_are_gone(tmp_path):
    """A change behind a reader's back costs it a second look, not an error."""
    add(tmp_path, 1)
    store = open_store(tmp_path, purpose=PURPOSE)
    add(tmp_path, 2)
    assert len(store.read("scores")) == 2


def test_the_schema_is_closed(tmp_path):
    """No column that the schema lacks gets in, but for features of sessions; types are held."""
    rows, at = scores(1)
    with writing(tmp_path) as store:
        for name, column in (("cookie", pa.array(["x"])), ("risk2", pa.array([0.5]))):
            with pytest.raises(SchemaError, match=name), store.transaction("test") as change:
                change.append("scores", rows.append_column(name, column), at)
        with pytest.raises(SchemaError, match="risk"), store.transaction("test") as change:
            change.append("scores", rows.set_column(2, "risk", pa.array(["high"])), at)
        with store.transaction("test") as change:
            change.append("sessions", pa.table({"session_id": ["a"], "end": at, "requests": [2.0]}), at)
            change.append("sessions", pa.table({"session_id": ["b"], "end": at, "errors": [1.0]}), at)
        assert store.read("sessions", columns=["requests", "errors"]).to_pylist() == [
            {"requests": 2.0, "errors": None},
            {"requests": None, "errors": 1.0},
        ]
        with pytest.raises(SchemaError, match="nothing"):
            store.read("scores", columns=["nothing"])
        with pytest.raises(SchemaError, match="holds no table"):
            store.read("scorers")


def test_no_value_outlives_its_rows(tmp_path):
    """Neither a dictionary nor a statistic of the file keeps what was taken out."""
    table = pa.table({"session_id": ["a", "b"], "user": pa.array(["keep", "gone"]).dictionary_encode()})
    with writing(tmp_path) as store:
        with store.transaction("test") as change:
            change.append("sessions", table, pa.array([0, 0]))
        with store.transaction("erase") as change:
            change.rewrite("sessions", lambda rows: rows.slice(0, 1))
        (file,) = store.files("sessions")
        column = pa.parquet.ParquetFile(file).metadata.row_group(0).column(3)
        assert (column.path_in_schema, column.statistics.max) == ("user", "keep")
        assert pa.parquet.read_table(file, partitioning=None, read_dictionary=["user"])["user"].chunk(
            0
        ).dictionary.to_pylist() == ["keep"]


def test_wrong_parameters_and_places(tmp_path):
    """Each error says what to do."""
    with pytest.raises(InputError, match="holds no store"):
        open_store(tmp_path / "none", purpose=PURPOSE)
    for options in ({"purpose": ""}, {"purpose": PURPOSE, "mode": "append"}, {"purpose": PURPOSE, "slice_hours": 5}):
        with pytest.raises(ConfigError):
            open_store(tmp_path, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        writing(tmp_path / "file")
    add(tmp_path / "a", 1)
    with pytest.raises(ConfigError, match="to read"):
        open_store(tmp_path / "a", purpose=PURPOSE).transaction("test")
    with (
        writing(tmp_path / "a") as store,
        pytest.raises(ConfigError, match="named as"),
        store.transaction("t") as change,
    ):
        change.put("../evil.json", b"")
    for damaged in (b"{", b"[]", b'{"format": "fraudlog store", "format_version": 99}'):
        (tmp_path / "a" / "manifest.json").write_bytes(damaged)
        with pytest.raises(InputError, match=r"damaged|version"):
            open_store(tmp_path / "a", purpose=PURPOSE)


def test_verify_finds_every_changed_file(tmp_path):
    """One bit is enough."""
    add(tmp_path, 1, 25)
    first, second = sorted(tmp_path.rglob("*.parquet"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    problems = open_store(tmp_path, purpose=PURPOSE).verify()
    assert [problem.rpartition(": ")[2] for problem in problems] == ["changed", "missing"]
    second.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        open_store(tmp_path, purpose=PURPOSE).read("scores")


def test_pandas_and_arrow_read_it_as_it_stands(tmp_path):
    """A folder of a table is a dataset with hive partitions."""
    add(tmp_path, 1, 2, 25)
    frame = pd.read_parquet(tmp_path / "scores")
    assert frame.groupby("day", observed=True)["risk"].count().to_dict() == {"1970-01-01": 2, "1970-01-02": 1}
    dataset = ds.dataset(tmp_path / "scores", partitioning="hive")
    assert dataset.to_table(filter=ds.field("day") == "1970-01-02").num_rows == 1


def test_duckdb_reads_it_as_it_stands(tmp_path):
    """Days are dates to it."""
    duckdb = pytest.importorskip("duckdb")
    add(tmp_path, 1, 2, 25)
    query = f"SELECT day, count(*), sum(risk) FROM '{tmp_path}/scores/**/*.parquet' GROUP BY day ORDER BY day"  # noqa: S608 -- our own folder
    assert duckdb.sql(query).fetchall() == [(DAY, 2, 0.003), (date(1970, 1, 2), 1, 0.025)]


@pytest.mark.slow
def test_spark_reads_it_as_it_stands(tmp_path):
    """Days are dates to it, and no file of the ledger is in its way."""
    sql = pytest.importorskip("pyspark.sql")
    add(tmp_path, 1, 2, 25)
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        counted = spark.read.parquet(str(tmp_path / "scores")).groupBy("day").count().orderBy("day").collect()
    finally:
        spark.stop()
    assert [(row["day"], row["count"]) for row in counted] == [(DAY, 2), (date(1970, 1, 2), 1)]


def test_every_table_has_its_order_among_its_columns():
    """Rows can be sorted whatever table they are of."""
    for table in TABLES.values():
        assert set(table.order) <= {column.name for column in table.columns}
        assert table.day_of
