"""`Rule`: a verdict for what the thresholds alone don't tell, by evidence and by what was asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudlog.deciding.decision import VERDICTS, Verdict
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

__all__ = ["Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A verdict for the sessions that fulfil all of its conditions.

    Parameters
    ----------
    verdict : str
        The verdict is at least this; with `is_cap`, at most.
    risk, confidence : float, default 0
        Least risk and confidence.
    evidence : tuple of str
        One of these codes must be among the reasons; empty for any.
    endpoints : tuple of str
        The request must be for one of these, as `fraudlog.enriching` names them; empty for any. Of whole sessions no
        request is the one asked about, so there a rule with endpoints says nothing.
    is_cap : bool, default False
        Make verdicts milder instead of harder; caps are applied last.

    Examples
    --------
    >>> Rule("challenge", risk=0.3, endpoints=("login", "checkout")).holds(0.4, 0.5, (), "login")
    True
    """

    verdict: Verdict
    risk: float = 0.0
    confidence: float = 0.0
    evidence: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    is_cap: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ConfigError(f"rules: verdict is one of {', '.join(VERDICTS)}", parameter="rules.verdict")
        for name in ("risk", "confidence"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"rules: {name} must lie between 0 and 1", parameter=f"rules.{name}")
        for name in ("evidence", "endpoints"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(entry, str) for entry in value):
                raise ConfigError(f"rules: {name} must be a list of texts", parameter=f"rules.{name}")
            object.__setattr__(self, name, tuple(value))

    @property
    def level(self) -> int:
        """Place of the verdict among `VERDICTS`."""
        return VERDICTS.index(self.verdict)

    def holds(self, risk: float, confidence: float, codes: Collection[str], endpoint: str | None) -> bool:
        """Say whether one session fulfils it."""
        return (
            risk >= self.risk
            and confidence >= self.confidence
            and (not self.evidence or any(code in codes for code in self.evidence))
            and (not self.endpoints or endpoint in self.endpoints)
        )

    def rows(
        self, risk: NDArray[np.float64], confidence: NDArray[np.float64], codes: Sequence[Collection[str]]
    ) -> NDArray[np.bool_]:
        """Say which whole sessions fulfil it."""
        holding = (risk >= self.risk) & (confidence >= self.confidence)
        if self.endpoints:
            holding[:] = False
        if self.evidence:
            asked = set(self.evidence)
            places = np.flatnonzero(holding)
            holding[places] = [not asked.isdisjoint(codes[place]) for place in places.tolist()]
        return holding

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON and TOML hold it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
