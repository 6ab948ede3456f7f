"""Attacks on money and stock: cards, codes, carts, moments that sell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fraudlog.evaluation.raids import Raid

__all__ = ["cash_out", "crack_card", "crack_codes", "expedite", "hoard", "scalp", "snipe", "verify_cards"]


def verify_cards(raid: Raid) -> None:
    """Pay small sums with many stolen cards, to see which still work."""
    doors = raid.site.doors
    raid.look(raid.plan.target)
    raid.post(doors["cart"], 302)
    raid.pause()
    for _ in raid.acts():
        if raid.rng.random() < 0.2:
            raid.look(doors["checkout"])
        raid.post(doors["checkout"], 302 if raid.succeeds() else raid.plan.refusal)
        raid.pause()


def crack_card(raid: Raid) -> None:
    """Guess what is missing of one card, payment after payment."""
    for _ in raid.acts():
        raid.post(raid.site.doors["checkout"], 302 if raid.succeeds() else raid.plan.refusal)
        raid.pause()


def cash_out(raid: Raid) -> None:
    """Sign in to account after account, spend what each holds, and go."""
    doors, visitor = raid.site.doors, raid.client
    for _ in raid.acts():
        raid.become(visitor)
        raid.post(doors["login"], 302)
        raid.become(visitor.known_as(raid.account()))
        raid.look(doors["account"])
        raid.pause()
        raid.look(doors["coupon"])
        raid.post(doors["cart"], 302)
        raid.post(doors["checkout"], 302)
        raid.pause()


def scalp(raid: Raid) -> None:
    """Ask for one item over and over until it is on sale, then buy faster than hands can."""
    doors = raid.site.doors
    raid.look(raid.plan.target)
    for _ in raid.acts():
        raid.ask(raid.plan.target)
        raid.pause()
    raid.post(doors["cart"], 302)
    raid.now_s += min(raid.plan.pace_s, 1.5)
    raid.post(doors["checkout"], raid.rng.choice((302, 302, 200, 409)))


def snipe(raid: Raid) -> None:
    """Watch one offer at even steps, and bid at the last moment."""
    for _ in raid.acts():
        raid.ask(raid.plan.target, query="state=1" if raid.rng.random() < 0.5 else None)
        raid.pause()
    for _ in range(raid.rng.randrange(1, 4)):
        raid.post(f"{raid.plan.target.rstrip('/')}/bid", raid.rng.choice((200, 302)))
        raid.now_s += raid.rng.uniform(0.1, 0.9)


def hoard(raid: Raid) -> None:
    """Put items into carts and never buy, again when the hold runs out."""
    for _ in raid.acts():
        if raid.rng.random() < 0.4:
            raid.look(raid.plan.target if raid.rng.random() < 0.6 else raid.rng.choice(raid.site.items))
        raid.post(raid.site.doors["cart"], raid.rng.choice((200, 302)))
        raid.pause()


def crack_codes(raid: Raid) -> None:
    """Try code after code."""
    door = raid.site.doors["coupon"]
    if raid.disguise.assets:
        raid.look(raid.site.doors["cart"])
    for _ in raid.acts():
        raid.post(door, 200 if raid.succeeds() else raid.plan.refusal)
        raid.pause()


def expedite(raid: Raid) -> None:
    """Walk a form of many steps in less time than reading it takes, again and again."""
    form = raid.site.doors["form"]
    steps = raid.rng.randrange(4, 9)
    for _ in raid.acts():
        for step in range(1, steps):
            if raid.disguise.assets or raid.rng.random() < 0.2:
                raid.look(f"{form}/{step}")
            raid.post(f"{form}/{step}", 302)
            raid.now_s += min(raid.plan.pace_s, 3) * raid.rng.uniform(0.6, 1.4)
        raid.pause()
