"""A WebSocket that outlives its connections.

It comes back by itself, and behind a Bulkhead sidecar no message is lost or doubled on the way. README.md says how to use it.
"""

from .session import Closed, Lost
from .socket import BulkheadSocket

__all__ = ["BulkheadSocket", "Closed", "Lost"]
