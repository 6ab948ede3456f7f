"""Attacks on what a site shows and counts: copying, drowning, voting, clicking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.evaluation.words import WORDS

if TYPE_CHECKING:
    from fraudlog.evaluation.raids import Raid

__all__ = ["click_adverts", "drive_browser", "drown", "scrape", "scrape_in_order", "skew", "spam"]


def scrape(raid: Raid) -> None:
    """Copy pages as fast as they come."""
    wanted = list(raid.site.items + raid.site.pages)
    raid.rng.shuffle(wanted)
    for number in raid.acts():
        raid.look(wanted[number % len(wanted)])
        raid.pause()


def scrape_in_order(raid: Raid) -> None:
    """Copy items in the order of their numbers, with time between."""
    first = raid.rng.randrange(len(raid.site.items))
    for number in raid.acts():
        raid.look(raid.site.items[(first + number) % len(raid.site.items)])
        raid.pause()


def drive_browser(raid: Raid) -> None:
    """Let a real browser walk the site: it loads all, waits on each page, and never comes back to one."""
    wanted = list(raid.site.pages[:4] + raid.site.items)
    if raid.rng.random() < 0.6:
        raid.rng.shuffle(wanted)
    for number in raid.acts():
        raid.look(wanted[number % len(wanted)])
        raid.pause()


def spam(raid: Raid) -> None:
    """Leave messages on page after page."""
    for _ in raid.acts():
        if raid.disguise.assets or raid.rng.random() < 0.5:
            raid.look(raid.rng.choice(raid.site.items))
        raid.post(raid.site.doors["comment"], raid.rng.choice((200, 302, 302, 403)))
        raid.pause()


def skew(raid: Raid) -> None:
    """Vote for one thing, over and over."""
    if raid.disguise.referrer:
        raid.look(raid.plan.target)
    for _ in raid.acts():
        raid.post(raid.site.doors["vote"], raid.rng.choice((200, 204, 302)))
        raid.pause()


def click_adverts(raid: Raid) -> None:
    """Open pages for the adverts on them, and click these."""
    for _ in raid.acts():
        raid.look(raid.rng.choice(raid.site.items))
        raid.now_s += raid.rng.uniform(0.3, 2)
        raid.ask(raid.site.doors["advert"], 302, query=f"id={raid.rng.randrange(1, 60)}")
        raid.pause()


def drown(raid: Raid) -> None:
    """Ask for what is dear to answer, faster than it can be answered."""
    for _ in raid.acts():
        is_down = raid.rng.random() < 0.15
        word = f"{raid.rng.choice(WORDS)}+{raid.rng.choice(WORDS)}"
        raid.ask(
            raid.site.doors["search"],
            raid.rng.choice((503, 504)) if is_down else 200,
            query=f"q={word}&sort={raid.rng.randrange(9)}",
            took_s=raid.rng.lognormvariate(0, 0.5),
        )
        raid.now_s -= raid.rng.uniform(0, 0.9)  # many at a time
        raid.pause()
