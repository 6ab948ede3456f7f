"""The slow readable twin of the histories of accounts: the published formula on a list of logins, term by term.

It counts anew for every probability and multiplies out p(x) and p(x | u); it shares with the library the table of
ladders alone.
"""

from __future__ import annotations

from fraudlog.detecting.histories import LADDERS


def share(logins, column, value, *, of_all):
    """p(v): unseen values of everybody keep 1 / (n + 1)."""
    known = [login[column] for login in logins if login[column] is not None]
    return max(known.count(value), 1 if of_all else 0) / (len(known) + 1)


def given_account(mine, everyone, login, rungs):
    """p(x | u), by linear interpolation between the rungs; None where the account or the login lacks them all."""
    x, _ = rungs[0]
    p_x = 1.0 if login[x] is None else share(everyone, x, login[x], of_all=True)
    total = weights = 0.0
    for column, weight in rungs:
        value = login[column]
        n_known = sum(one[column] is not None for one in mine)
        if value is None or not n_known:
            continue
        p_v = share(everyone, column, value, of_all=True)
        unseen = 1 / (n_known + 1)  # the account's share for what it never showed, spread as everybody's values are
        p_v_of_account = share(mine, column, value, of_all=False) + unseen * p_v
        total += weight * (p_x / p_v) * p_v_of_account
        weights += weight
    return (total / weights, p_x) if weights else None


def risk(logins, user, login):
    """S(x) of one login after the others."""
    everyone, mine = logins, [one for one in logins if one["user"] == user]
    score = 1.0
    for ladder in LADDERS:
        found = given_account(mine, everyone, login, ladder.rungs)
        if found is not None:
            p_of_account, p_x = found
            score *= p_x / p_of_account
    p_attacked = 1 / len({one["user"] for one in logins})
    p_legitimate = len(mine) / len(logins)
    return score * p_attacked / p_legitimate
