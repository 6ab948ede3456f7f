"""Plain words that made-up sites, accounts and clients are named from."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["COUNTRIES", "LIBRARIES", "NAMES", "ROLES", "SECTIONS", "STEMS", "TOPICS", "WORDS", "Country"]


class Country(NamedTuple):
    """A country as clients show it.

    Parameters
    ----------
    code : str
        ISO 3166-1.
    utc_offset_h : int
        Hours its clocks are ahead of UTC.
    languages : tuple of str
        Tags its browsers are set to, the commonest first.
    weight : int
        How often it is drawn.
    """

    code: str
    utc_offset_h: int
    languages: tuple[str, ...]
    weight: int


COUNTRIES: Final = (
    Country("DE", 1, ("de-DE", "en-GB"), 18),
    Country("FR", 1, ("fr-FR",), 12),
    Country("GB", 0, ("en-GB", "en-US"), 12),
    Country("US", -6, ("en-US", "es-US"), 16),
    Country("ES", 1, ("es-ES", "ca-ES"), 7),
    Country("IT", 1, ("it-IT",), 7),
    Country("PL", 1, ("pl-PL",), 5),
    Country("NL", 1, ("nl-NL", "en-GB"), 5),
    Country("BR", -3, ("pt-BR",), 5),
    Country("IN", 5, ("en-IN", "hi-IN"), 4),
    Country("JP", 9, ("ja-JP",), 3),
    Country("SE", 1, ("sv-SE", "en-GB"), 2),
    Country("TR", 3, ("tr-TR",), 2),
    Country("UA", 2, ("uk-UA", "ru-UA"), 2),
    Country("FI", 2, ("fi-FI", "sv-FI"), 1),
    Country("VN", 7, ("vi-VN",), 1),
)

SECTIONS: Final = (
    "shop", "store", "catalogue", "items", "products", "articles", "stories", "recipes", "events", "tickets",
    "listings", "books", "tools", "garden", "music", "travel", "offers", "guides", "jobs", "rooms", "parts", "papers",
)  # fmt: skip

WORDS: Final = (
    "amber", "anchor", "apple", "arrow", "basil", "beacon", "birch", "bridge", "canvas", "cedar", "chalk", "cloud",
    "copper", "coral", "cotton", "desk", "dune", "ember", "falcon", "fern", "flint", "forest", "glass", "grain",
    "harbor", "hazel", "island", "ivory", "jasper", "kettle", "lagoon", "lamp", "lemon", "linen", "maple", "marble",
    "meadow", "mint", "mirror", "oak", "olive", "opal", "orchid", "paper", "pearl", "pebble", "pine", "plum", "quartz",
    "quilt", "raven", "ribbon", "river", "rose", "saddle", "sage", "sail", "silver", "slate", "stone", "sugar",
    "summit", "thistle", "timber", "tulip", "umber", "valley", "velvet", "violet", "walnut", "willow", "winter", "wool",
    "yarrow",
)  # fmt: skip

TOPICS: Final = (
    "about", "help", "contact", "shipping", "returns", "terms", "privacy", "press", "careers", "faq", "sizes", "stores",
    "team", "news", "imprint", "sustainability", "partners", "accessibility",
)  # fmt: skip

STEMS: Final = (
    "main", "vendor", "app", "theme", "layout", "menu", "slider", "fonts", "base", "print", "icons", "polyfill", "logo",
    "hero", "sprite", "banner", "footer", "header",
)  # fmt: skip

NAMES: Final = (
    "ada", "anna", "ben", "carla", "chen", "dario", "elif", "emma", "femi", "greta", "hana", "ivan", "jonas", "juan",
    "kaori", "lena", "liam", "maria", "marta", "mehmet", "mia", "nadia", "noah", "olga", "omar", "paul", "priya",
    "rosa", "sam", "sofia", "sven", "tariq", "tom", "vera", "wei", "yuki", "zoe",
)  # fmt: skip

ROLES: Final[dict[str, tuple[str, ...]]] = {
    "login": (
        "/login", "/signin", "/account/login", "/users/sign_in", "/auth/login", "/session/new", "/logon", "/anmelden",
    ),
    "logout": ("/logout", "/signout", "/users/sign_out", "/account/logout"),
    "signup": ("/register", "/signup", "/account/register", "/users/sign_up", "/join", "/account/create"),
    "password_reset": ("/password/reset", "/forgot-password", "/account/recover", "/users/password/new"),
    "account": ("/account", "/profile", "/my-account", "/settings", "/me", "/orders"),
    "search": ("/search", "/find", "/catalogsearch/result", "/suche", "/lookup"),
    "cart": ("/cart", "/basket", "/cart/add", "/bag", "/warenkorb"),
    "checkout": ("/checkout", "/payment", "/checkout/pay", "/order/place", "/purchase", "/checkout/payment"),
    "coupon": ("/coupon", "/cart/coupon", "/voucher", "/redeem", "/giftcard/balance", "/apply-coupon"),
    "api": ("/api/v1", "/api/v2", "/rest", "/api", "/v1"),
    "comment": ("/comments", "/contact/send", "/reviews/new", "/guestbook", "/feedback", "/forum/reply"),
    "vote": ("/vote", "/poll/answer", "/like", "/rate", "/helpful"),
    "advert": ("/out", "/click", "/ads/go", "/banner/click", "/sponsor/visit"),
    "form": ("/wizard", "/apply", "/quiz", "/survey", "/booking/step", "/claim"),
    "feed": ("/feed", "/rss.xml", "/atom.xml", "/blog/feed"),
    "health": ("/health", "/healthz", "/ping", "/status"),
    "export": ("/export", "/report/download", "/orders/export.csv"),
    "robots": ("/robots.txt",),
}  # fmt: skip
"""What the door of each role may be called, where the log at hand shows none."""

LIBRARIES: Final = (
    "python-requests/2.{}.0", "python-httpx/0.2{}.0", "Go-http-client/1.1", "Go-http-client/2.0", "okhttp/4.{}.0",
    "axios/1.{}.0", "curl/8.{}.0", "Wget/1.2{}", "Java/17.0.{}", "Apache-HttpClient/4.5.{} (Java/11.0.2)",
    "aiohttp/3.{}.1", "Ruby", "node-fetch/1.0", "Scrapy/2.{}", "libwww-perl/6.{}", "GuzzleHttp/7",
    "Dart/3.{} (dart:io)", "undici",
)  # fmt: skip
"""What programs call themselves when nobody told them to say something else."""
