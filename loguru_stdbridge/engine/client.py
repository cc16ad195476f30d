"""The makers' client of NATS, or what to do where it is not installed."""

from __future__ import annotations

from ..exceptions import ConfigurationError

try:
    from nats.aio.client import Client as NatsClient
    from nats.errors import Error as NatsError
    from nats.errors import NoRespondersError
    from nats.errors import TimeoutError as NatsTimeoutError
except ImportError as error:
    raise ConfigurationError(
        "a nats:// address needs the makers' client, which is not installed here: "
        "pip install 'loguru-stdbridge[nats]'"
    ) from error

__all__ = ["NatsClient", "NatsError", "NatsTimeoutError", "NoRespondersError"]
