"""Countries and systems from databases that the user brings."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from fraudlog.enriching.geo import CountryRanges, GeoDatabase
from fraudlog.errors import ConfigError, InputError

GEO = Path(__file__).parent / "corpus" / "geo"


def test_reads_databases_in_maxminds_format():
    """Reads databases in maxminds format."""
    found = GeoDatabase(GEO / "GeoLite2-Country-Test.mmdb").columns(
        pa.array(["2.125.160.216", "2001:218::1", "10.0.0.1", "no address", None])
    )
    assert found["country"].to_pylist() == ["GB", "JP", None, None, None]


def test_a_missing_file_and_what_is_no_database_are_named(tmp_path):
    """A missing file and what is no database are named."""
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"not a database")
    for path in (broken, tmp_path / "missing.mmdb"):
        with pytest.raises(InputError, match=path.name):
            GeoDatabase(path)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    """Without the extra it says what to install."""
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigError, match=r"fraudlog\[geo\]"):
        GeoDatabase(GEO / "GeoLite2-Country-Test.mmdb")


def test_ranges_from_a_table_plain_or_packed(tmp_path):
    """Ranges from a table plain or packed."""
    text = "# first,last,country\n16777216,16777471,AU\n1.0.1.0,1.0.3.255,CN\n"
    (tmp_path / "plain.csv").write_text(text)
    with gzip.open(tmp_path / "packed.csv.gz", "wt") as packed:
        packed.write(text)
    addresses = pa.array(
        ["1.0.0.0", "1.0.0.255", "1.0.2.5", "1.0.4.0", "0.0.0.1", "::ffff:1.0.0.7", "2001:db8::1", None]
    )
    for name in ("plain.csv", "packed.csv.gz"):
        found = CountryRanges(tmp_path / name).columns(addresses)["country"].to_pylist()
        assert found == ["AU", "AU", "CN", None, None, "AU", None, None]


@pytest.mark.parametrize("text", ["1,5,AA\n3,9,BB\n", "9,12,AA\n1,2,BB\n", "5,1,AA\n", "x,y,AA\n", "1,2\n"])
def test_a_table_out_of_order_is_refused(tmp_path, text):
    """A table out of order is refused."""
    path = tmp_path / "ranges.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ranges\.csv"):
        CountryRanges(path)
