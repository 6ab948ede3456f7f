"""Attacks on accounts: guessing, opening and taking over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fraudlog.evaluation.clients import accept_language, draw_country

if TYPE_CHECKING:
    from fraudlog.evaluation.raids import Raid

__all__ = ["crack", "create_accounts", "stuff", "take_over"]


def _approach(raid: Raid, door: str) -> None:
    """Open the form first, as far as the disguise goes."""
    if raid.disguise.assets or raid.disguise.referrer or raid.rng.random() < 0.3:
        raid.look(door)
        raid.pause(0.5)


def stuff(raid: Raid) -> None:
    """Try stolen pairs of name and password, one after the other, each of another account."""
    door = raid.site.doors["login"]
    _approach(raid, door)
    for _ in raid.acts():
        raid.post(door, 302 if raid.succeeds() else raid.site.refusal)
        raid.pause()


def crack(raid: Raid) -> None:
    """Try many passwords on one account; stop where one fits."""
    door = raid.site.doors["login"]
    _approach(raid, door)
    for _ in raid.acts():
        if raid.succeeds():
            raid.post(door, 302)
            return
        raid.post(door, raid.site.refusal)
        raid.pause()


def create_accounts(raid: Raid) -> None:
    """Open account after account."""
    door = raid.site.doors["signup"]
    for number in raid.acts():
        if number == 0 or raid.rng.random() < 0.5:
            _approach(raid, door)
        raid.post(door, 422 if raid.rng.random() < 0.15 else raid.rng.choice((200, 201, 302)))
        if raid.rng.random() < 0.4:
            raid.ask(f"{door}/confirm", 302, query=f"token={raid.rng.getrandbits(64):016x}")
        raid.pause()


def take_over(raid: Raid) -> None:
    """Go on with a stolen session, in another network and another language, and make for the money."""
    rng, doors = raid.rng, raid.site.doors
    if raid.client.language is not None and raid.client.user_agent is not None:
        changed = accept_language(rng, draw_country(rng).languages[0], is_gecko="Firefox" in raid.client.user_agent)
        raid.become(replace(raid.client, language=changed))
    victim = raid.account()
    raid.become(replace(raid.client, user=victim, session_token=raid.plan.accounts.get(victim)))
    for number in raid.acts():
        door = rng.choices(("account", "export", "checkout", "coupon", "password_reset"), (8, 2, 3, 2, 2))[0]
        if number and door in {"checkout", "password_reset"}:
            raid.post(doors[door], rng.choice((200, 302)))
        else:
            raid.look(doors[door])
        raid.pause()
