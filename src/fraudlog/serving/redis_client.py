"""The connection of `RedisState`: one that gives up as soon as it was told to."""

from __future__ import annotations

from typing import Any

__all__ = ["asking_once"]


def asking_once(client: Any) -> Any:  # noqa: ANN401 -- redis ships as an extra
    """Return a client of the same server that asks once.

    redis-py asks a server that is gone four times, seconds apart: nothing for a request to wait for, and the state
    tries again by itself. A client of a cluster or a sentinel finds its servers in its own way and is taken as it is.
    """
    from redis import BlockingConnectionPool, ConnectionPool  # noqa: PLC0415 -- an extra
    from redis.backoff import NoBackoff  # noqa: PLC0415 -- an extra
    from redis.retry import Retry  # noqa: PLC0415 -- an extra

    pool: Any = getattr(client, "connection_pool", None)
    if type(pool) not in {BlockingConnectionPool, ConnectionPool}:
        return client
    settings = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
    own = ConnectionPool(pool.connection_class, pool.max_connections, **settings)
    return type(client)(connection_pool=own)
