"""The table of kinds of attack, shaped after OWASP's Automated Threats: a row and a generator each."""

from __future__ import annotations

from typing import Final

from fraudlog.evaluation import raids_accounts as accounts
from fraudlog.evaluation import raids_content as content
from fraudlog.evaluation import raids_money as money
from fraudlog.evaluation import raids_probing as probing
from fraudlog.evaluation.raids import Kind

__all__ = ["KINDS", "kind_names"]

KINDS: Final = (
    Kind("credential_stuffing", "OAT-008", "tries stolen passwords of many accounts, fast, from few addresses",
         accounts.stuff, (25, 400), (0.15, 4), sessions_an_address=4),
    Kind("stuffing_residential", "OAT-008", "the same low and slow: one to three tries an address, from homes all over",
         accounts.stuff, (1, 3), (4, 60), crowd=4, campaigns=1, always=("residential",)),
    Kind("credential_cracking", "OAT-007", "tries many passwords on one account",
         accounts.crack, (15, 120), (1, 30), sessions_an_address=3),
    Kind("account_creation", "OAT-019", "opens accounts in rows",
         accounts.create_accounts, (3, 25), (2, 40), sessions_an_address=2),
    Kind("account_takeover", "OAT-008", "goes on with a stolen session from elsewhere, and the language changes",
         accounts.take_over, (4, 20), (2, 40), always=("agent", "residential"), needs=("user",)),
    Kind("carding", "OAT-001", "verifies stolen cards by small payments",
         money.verify_cards, (5, 60), (1, 20), sessions_an_address=2),
    Kind("card_cracking", "OAT-010", "guesses what is missing of one card",
         money.crack_card, (20, 150), (0.3, 6), sessions_an_address=2, held_out=True),
    Kind("cashing_out", "OAT-012", "empties account after account",
         money.cash_out, (3, 10), (1, 20), needs=("user",)),
    Kind("scalping", "OAT-005", "buys what sells out, the moment it is on sale",
         money.scalp, (10, 80), (0.1, 3), moments=2),
    Kind("sniping", "OAT-013", "watches an offer and bids at the last moment",
         money.snipe, (30, 200), (1, 12), moments=4, held_out=True),
    Kind("denial_of_inventory", "OAT-021", "holds stock in carts and never buys",
         money.hoard, (8, 60), (1, 60), sessions_an_address=3),
    Kind("token_cracking", "OAT-002", "tries codes of coupons and gift cards",
         money.crack_codes, (20, 200), (0.3, 6), sessions_an_address=2),
    Kind("scraping_fast", "OAT-011", "copies pages as fast as they come",
         content.scrape, (60, 500), (0.05, 1.5), sessions_an_address=3),
    Kind("scraping_slow", "OAT-011", "copies items in the order of their numbers, with time between",
         content.scrape_in_order, (15, 120), (8, 90), sessions_an_address=2),
    Kind("headless_browser", "OAT-011", "a driven browser that loads all and waits on each page",
         content.drive_browser, (15, 80), (3, 25), always=("agent", "assets", "referrer"), sessions_an_address=2),
    Kind("vulnerability_scanning", "OAT-014", "asks for what careless sites leave lying about",
         probing.scan, (15, 250), (0.05, 3), sessions_an_address=2),
    Kind("footprinting", "OAT-018", "maps sections, versions and variants of the site",
         probing.footprint, (20, 150), (0.2, 8), held_out=True),
    Kind("fingerprinting", "OAT-004", "asks what tells which programs the site runs on",
         probing.fingerprint, (4, 14), (0.2, 5)),
    Kind("spamming", "OAT-017", "leaves messages on page after page",
         content.spam, (2, 20), (3, 60), sessions_an_address=2),
    Kind("skewing", "OAT-016", "votes for one thing over and over",
         content.skew, (3, 60), (1, 30), held_out=True),
    Kind("ad_fraud", "OAT-003", "opens pages for their adverts and clicks these",
         content.click_adverts, (5, 60), (2, 40), sessions_an_address=2),
    Kind("expediting", "OAT-006", "walks long forms in less time than reading them takes",
         money.expedite, (2, 8), (0.2, 10)),
    Kind("denial_of_service", "OAT-015", "asks for what is dear to answer, faster than it can be answered",
         content.drown, (150, 900), (0.02, 0.4), sessions_an_address=2),
)  # fmt: skip
"""One row a kind. Sizes and paces are ranges that each campaign draws its own from."""


def kind_names(*, held_out: bool | None = None) -> list[str]:
    """Return the names of all kinds, of those held out, or of the others.

    >>> kind_names(held_out=True)
    ['card_cracking', 'sniping', 'footprinting', 'skewing']
    """
    return [kind.name for kind in KINDS if held_out is None or kind.held_out == held_out]
