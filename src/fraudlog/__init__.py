"""fraudlog: flags abusive sessions in access logs, says why, and keeps the privacy promise.

The public names are imported on first use, so that ``import fraudlog`` costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
