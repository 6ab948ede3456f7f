"""Attacks that look for a way in: scanning, footprinting, fingerprinting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.evaluation.words import SECTIONS, WORDS

if TYPE_CHECKING:
    from random import Random

    from fraudlog.evaluation.raids import Raid

__all__ = ["fingerprint", "footprint", "scan"]

_FOLDERS: Final = (
    "",
    "",
    "/app",
    "/old",
    "/test",
    "/dev",
    "/backup",
    "/public",
    "/api",
    "/admin",
    "/cms",
    "/blog",
    "/v2",
)
_LURES: Final = (
    ".env", ".env.{w}", ".git/config", ".git/HEAD", ".svn/entries", "wp-login.php", "wp-config.php.bak", "xmlrpc.php",
    "phpinfo.php", "adminer.php", "phpmyadmin/index.php", "config.{x}", "{w}.sql", "{w}.zip", "backup-{n}.tar.gz",
    "server-status", "actuator/env", "console", "debug", "shell.php", "{w}.php", "upload.php", "setup.php",
    "install.php", "cgi-bin/{w}.cgi", "manager/html", "solr/admin/cores", "id_rsa", "credentials.json",
    "docker-compose.yml", "web.config", "vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "..%2f..%2fetc%2fpasswd",
    "{w}/../../../../etc/passwd",
)  # fmt: skip
_EXTENSIONS: Final = ("php", "yml", "json", "inc", "old", "ini")
_QUERIES: Final = (
    "id=1'",
    "q=<script>alert({n})</script>",
    "file=../../{w}",
    "url=http://{n}.example/",
    "id={n}+OR+1=1",
    None,
    None,
    None,
)
_TRACES: Final = (
    "/readme.html", "/CHANGELOG.txt", "/license.txt", "/composer.json", "/package.json", "/favicon.ico", "/humans.txt",
    "/crossdomain.xml", "/.well-known/security.txt", "/index.php", "/index.jsp", "/default.aspx", "/error-{n}", "/",
)  # fmt: skip


def _lure(rng: Random) -> str:
    name = rng.choice(_LURES).format(w=rng.choice(WORDS), n=rng.randrange(1, 99), x=rng.choice(_EXTENSIONS))
    return f"{rng.choice(_FOLDERS)}/{name}"


def scan(raid: Raid) -> None:
    """Ask for what careless sites leave lying about, and try what breaks weak ones."""
    rng = raid.rng
    for _ in raid.acts():
        query = rng.choice(_QUERIES)
        path = rng.choice(raid.site.items) if rng.random() < 0.12 else _lure(rng)
        status = rng.choices((raid.site.missing, 403, 400, 200), (88, 6, 4, 2))[0]
        raid.ask(
            path, status, query=query and query.format(n=rng.randrange(1, 99), w=rng.choice(WORDS)),
            method="POST" if rng.random() < 0.08 else "GET",
        )  # fmt: skip
        raid.pause()


def footprint(raid: Raid) -> None:
    """Map the site: every section, version and variant there might be."""
    rng = raid.rng
    for path in ("/robots.txt", "/sitemap.xml")[: rng.randrange(0, 3)]:
        raid.ask(path, rng.choice((200, raid.site.missing)))
        raid.pause()
    for _ in raid.acts():
        guess = rng.choice(
            (
                f"/{rng.choice(SECTIONS)}",
                f"/{rng.choice(SECTIONS)}/{rng.choice(WORDS)}",
                f"/api/v{rng.randrange(1, 6)}/{rng.choice(SECTIONS)}",
                f"{rng.choice(raid.site.pages).rstrip('/')}.{rng.choice(('json', 'xml', 'bak', 'php'))}",
                rng.choice(raid.site.pages + raid.site.items),
            )
        )
        is_there = guess in raid.site.pages or guess in raid.site.items
        raid.ask(
            guess, 200 if is_there else raid.site.missing, method=rng.choices(("GET", "HEAD", "OPTIONS"), (6, 3, 1))[0]
        )
        raid.pause()


def fingerprint(raid: Raid) -> None:
    """Ask the few things that tell which programs a site runs on."""
    rng = raid.rng
    for _ in raid.acts():
        path = rng.choice(_TRACES).format(n=rng.randrange(100, 999))
        method = rng.choices(("GET", "HEAD", "OPTIONS", "TRACE", "PUT"), (8, 4, 3, 1, 1))[0]
        known = path in {"/", "/favicon.ico"}
        status = 405 if method in {"TRACE", "PUT"} else 200 if known else raid.site.missing
        raid.ask(path, status, method=method)
        raid.pause()
