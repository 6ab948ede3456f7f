"""What a path is: page, asset, login, a file only scanners ask for ..."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ENDPOINTS", "endpoint_columns"]

ENDPOINTS: Final[tuple[tuple[str, str], ...]] = (
    (
        "probe",
        (
            r"/\.(env|git|svn|aws|ssh|htpasswd|DS_Store)|(wp-config|xmlrpc|eval-stdin|shell|setup|install|test|info|phpinfo)\.php"
            r"|phpmyadmin|/pma/|/cgi-bin/|/wp-(includes|content/plugins)/.*\.php|\.\./|etc/passwd|/manager/html|/HNAP1|\.(bak|sql|old)$"
            r"|/(administrator|fckeditor|ckeditor|kcfinder)/|\\x|%00|union.{1,9}select|<script"
        ),
    ),
    (
        "login",
        r"/(wp-)?(login|signin|sign-in|logon|session|auth|user/login|accounts/login)(\.php|\.aspx?)?/?$|/oauth/token$",
    ),
    ("signup", r"/(signup|sign-up|register|registration|join)(\.php)?/?$"),
    ("password_reset", r"/(forgot|reset|lost)[-_]?password|/password/reset"),
    ("checkout", r"/(checkout|payment|pay|order/confirm)(/|$)"),
    ("account", r"/(account|profile|settings|my)(/|$)"),
    ("admin", r"/(wp-)?admin(/|$|\.php)"),
    ("robots", r"^/(robots\.txt|sitemap[^/]*\.xml(\.gz)?|ads\.txt|humans\.txt|\.well-known/.*)$"),
    ("health", r"^/(health|healthz|ping|status|server-status|ready|live)/?$"),
    ("feed", r"(/feed/?|\.rss|\.atom|/rss\d*\.xml|/atom\.xml|/index\.xml|/rss/?|flav=(rss|atom)\S*)$"),
    (
        "asset",
        (
            r"\.(css|js|mjs|map|png|jpe?g|gif|svg|webp|avif|ico|bmp|woff2?|ttf|eot|otf|mp[34]|webm|ogg|wav|pdf|zip|t?gz|bz2|xz|rpm"
            r"|deb|jar|exe|iso|swf|txt|csv)$"
        ),
    ),
    ("search", r"/search(/|$)|/find(/|$)"),
    ("api", r"^/(api|v\d+|graphql|rest|rpc)(/|$)|\.json$"),
)
"""Kinds of endpoint by path, the first that fits counts; every other path is a page."""

_COMPILED = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in ENDPOINTS)


def endpoint_columns(path: str | None) -> dict[str, object]:
    """Return the derived columns of one path.

    >>> [endpoint_columns(path)["endpoint"] for path in ("/", "/a.css", "/.env", "/login", None)]
    ['page', 'asset', 'probe', 'login', None]
    """
    if path is None:
        return {"endpoint": None}
    return {"endpoint": next((name for name, pattern in _COMPILED if pattern.search(path)), "page")}
