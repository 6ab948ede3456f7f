"""Made-up clients: a browser's agent, language and hints that hang together, and an address of a network.

Agents are built by the grammar that each browser follows, of the versions that were current at a date.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from fraudlog.evaluation.words import COUNTRIES, LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from fraudlog.evaluation.words import Country

__all__ = ["Client", "Network", "accept_language", "browser", "draw_country", "library", "network"]


@dataclass(frozen=True, slots=True)
class Client:
    """What one client shows in every request; the names are those of `fraudlog.schema.EVENTS`."""

    client_ip: str = ""
    user_agent: str | None = None
    language: str | None = None
    ch_ua: str | None = None
    ch_platform: str | None = None
    ch_mobile: str | None = None
    country: str | None = None
    asn: int | None = None
    user: str | None = None
    session_token: str | None = None

    def at(self, network: Network, rng: Random) -> Client:
        """Return the same client behind another network."""
        return replace(self, client_ip=network.address(rng), country=network.country, asn=network.asn)

    def known_as(self, user: str | None) -> Client:
        """Return the same client, signed in as `user`."""
        return replace(self, user=user)


class Network(NamedTuple):
    """Part of a provider's addresses.

    Parameters
    ----------
    first : str
        The octets that stay, as ``"84.17"``, or the first half of an IPv6 address, as ``"2a02:8109:9ac0"``.
    country : str or None
    asn : int or None
    """

    first: str
    country: str | None
    asn: int | None

    def address(self, rng: Random) -> str:
        """Return an address of it."""
        if ":" in self.first:
            missing = 8 - self.first.count(":") - 1
            return self.first + "".join(f":{rng.randrange(1, 65536):x}" for _ in range(missing))
        missing = 4 - self.first.count(".") - 1
        return ".".join([self.first, *(str(rng.randrange(1, 255)) for _ in range(missing))])

    def inside(self, rng: Random) -> Network:
        """Return one /24 or /64 of it."""
        if ":" in self.first:
            whole = self.address(rng).split(":")
            return self._replace(first=":".join(whole[:4]))
        return self._replace(first=self.address(rng).rpartition(".")[0])


_TAKEN: Final = frozenset({10, 100, 127, 169, 172, 192, 198, 203})
"""First octets with special parts: left out whole, so that every address drawn is an ordinary one."""


def network(rng: Random, country: str | None, *, is_v6: bool = False) -> Network:
    """Draw a provider's network of 65,536 addresses, or an IPv6 /48."""
    asn = rng.randrange(1_000, 64_000)
    if is_v6:
        return Network(
            f"2a{rng.randrange(0, 16):02x}:{rng.randrange(256, 65536):x}:{rng.randrange(1, 65536):x}", country, asn
        )
    first = rng.choice([n for n in range(2, 223) if n not in _TAKEN])
    return Network(f"{first}.{rng.randrange(1, 255)}", country, asn)


def draw_country(rng: Random) -> Country:
    """Draw a country by its weight."""
    return rng.choices(COUNTRIES, [country.weight for country in COUNTRIES])[0]


class _System(NamedTuple):
    """An operating system as agents and hints name it."""

    agent: str
    hint: str
    is_mobile: bool


_WINDOWS: Final = _System("Windows NT 10.0; Win64; x64", "Windows", is_mobile=False)
_MAC: Final = _System("Macintosh; Intel Mac OS X 10_15_7", "macOS", is_mobile=False)
_LINUX: Final = _System("X11; Linux x86_64", "Linux", is_mobile=False)
_ANDROID: Final = _System("Linux; Android 10; K", "Android", is_mobile=True)
_REDUCED_SINCE: Final = 110
"""Chrome's major version since which the rest of the version is zero and the system frozen."""


def chrome_version(today: date) -> int:
    """Return the major version of Chrome that is current: one every six weeks until 2021, then every four.

    >>> chrome_version(date(2022, 4, 1)), chrome_version(date(2026, 3, 2))
    (100, 151)
    """
    turn = date(2022, 3, 29)
    days = (today - turn).days
    return 100 + days // 28 if days >= 0 else max(20, 100 + days // 38)


def _chromium(brand: str, suffix: str) -> Callable[[Random, _System, int], Client]:
    def build(rng: Random, system: _System, version: int) -> Client:
        full = (
            f"{version}.0.0.0" if version >= _REDUCED_SINCE else f"{version}.0.{version * 45}.{rng.randrange(20, 180)}"
        )
        mobile = " Mobile" if system.is_mobile else ""
        tail = suffix.format(version=version)
        engine = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{full}{mobile} Safari/537.36"
        agent = f"Mozilla/5.0 ({system.agent}) {engine}{tail}"
        if version < _REDUCED_SINCE:
            return Client(user_agent=agent)
        noise = f'"Not{rng.choice("/)(:;_ ")}A{rng.choice("/)(:;_ ")}Brand";v="{rng.choice((8, 24, 99))}"'
        return Client(
            user_agent=agent,
            ch_ua=f'"Chromium";v="{version}", "{brand}";v="{version}", {noise}',
            ch_platform=f'"{system.hint}"',
            ch_mobile="?1" if system.is_mobile else "?0",
        )

    return build


def _firefox(_: Random, system: _System, version: int) -> Client:
    inside = f"{system.agent}; rv:{version}.0" if not system.is_mobile else f"Android 14; Mobile; rv:{version}.0"
    built = f"{version}.0" if system.is_mobile else "20100101"
    inside = inside.replace("10_15_7", "10.15")
    return Client(user_agent=f"Mozilla/5.0 ({inside}) Gecko/{built} Firefox/{version}.0")


def _safari(rng: Random, system: _System, version: int) -> Client:
    # One a year; after 18 comes 26, and its phones go on to say 18_6.
    major = 26 + (version - 140) // 13 if version >= 140 else max(8, min(18, 15 + (version - 94) // 13))
    number = f"{major}.{rng.randrange(0, 7)}"
    engine = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
    if not system.is_mobile:
        return Client(user_agent=f"Mozilla/5.0 ({system.agent}) {engine} Version/{number} Safari/605.1.15")
    shown = "18_6" if major > 18 else number.replace(".", "_")
    phone = f"iPhone; CPU iPhone OS {shown} like Mac OS X"
    return Client(user_agent=f"Mozilla/5.0 ({phone}) {engine} Version/{number} Mobile/15E148 Safari/604.1")


_IPHONE: Final = _System("iPhone", "iOS", is_mobile=True)
_BROWSERS: Final = (
    (30, _chromium("Google Chrome", ""), _WINDOWS),
    (9, _chromium("Google Chrome", ""), _MAC),
    (3, _chromium("Google Chrome", ""), _LINUX),
    (22, _chromium("Google Chrome", ""), _ANDROID),
    (7, _chromium("Microsoft Edge", " Edg/{version}.0.0.0"), _WINDOWS),
    (2, _chromium("Opera", " OPR/{version}.0.0.0"), _WINDOWS),
    (5, _firefox, _WINDOWS),
    (2, _firefox, _LINUX),
    (1, _firefox, _MAC),
    (1, _firefox, _ANDROID),
    (14, _safari, _IPHONE),
    (4, _safari, _MAC),
)
"""How often a browser is drawn, who builds its agent, and on which system."""


def browser(rng: Random, today: date, languages: Sequence[str], *, mobile: bool | None = None) -> Client:
    """Draw a browser of the versions current at `today`, with an agent, a language and hints that hang together.

    Parameters
    ----------
    rng : Random
    today : date
        Most browsers are at most two versions behind it, a few far.
    languages : sequence of str
        Tags to choose from, the likeliest first.
    mobile : bool, optional
        Only phones, or none.
    """
    rows = [row for row in _BROWSERS if mobile is None or row[2].is_mobile == mobile]
    _, build, system = rng.choices(rows, [row[0] for row in rows])[0]
    behind = rng.choices((0, 1, 2, rng.randrange(3, 25)), (55, 28, 9, 8))[0]
    shown = build(rng, system, max(20, chrome_version(today) - behind))
    tag = languages[0] if rng.random() < 0.85 else rng.choice(languages)
    return replace(shown, language=accept_language(rng, tag, is_gecko=build is _firefox))


def accept_language(rng: Random, tag: str, *, is_gecko: bool = False) -> str:
    """Return an Accept-Language header as browsers of that language send it.

    >>> from random import Random
    >>> accept_language(Random(1), "de-DE", is_gecko=True)
    'de-DE,de;q=0.8,en-US;q=0.5,en;q=0.3'
    """
    plain = tag.partition("-")[0]
    tags = [tag, plain]
    if plain != "en" and rng.random() < 0.75:
        tags += ["en-US", "en"]
    if rng.random() < 0.08:
        tags.append(rng.choice(COUNTRIES).languages[0].partition("-")[0])
    tags = list(dict.fromkeys(tags))
    step = 1 / len(tags) if is_gecko else 0.1
    weights = [max(0.1, 1.001 - step * place) for place in range(len(tags))]
    return ",".join(name if not place else f"{name};q={weights[place]:.1f}" for place, name in enumerate(tags))


def library(rng: Random) -> str:
    """Draw what a program calls itself when nobody told it otherwise."""
    return rng.choice(LIBRARIES).format(rng.randrange(1, 30))
