"""What a live event is asked: columns looked up together, fields that follow, and where each answer's bit stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError
from fraudlog.sessions.facts import ACTOR, kept_fields
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import Known, Missing
from fraudlog.sessions.plan import atoms_of

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.plan import Atom, Lane

__all__ = ["DERIVED", "Group", "Layout"]

_TOGETHER: Final = (
    (
        "user_agent",
        "language",
        "os",
        "browser",
        "device_id",
        "device_class",
        "language_primary",
        "country",
        "asn",
        "browser_version",
        "is_automation",
        "bot_category",
        "bot_name",
        "tls_fingerprint",
        "protocol",
        "host",
        "agent_kind",
        "agent_conflict",
        "browser_age",
        "language_shape",
        "is_ch_malformed",
        "is_ch_missing",
        "is_ch_brand_same",
        "is_ch_version_same",
        "is_ch_platform_same",
        "is_ch_mobile_same",
        "is_language_malformed",
        "is_language_unknown",
        "is_hosting",
        "is_tor",
    ),
    ("method", "status", "endpoint", "action", "outcome"),
    ("client_ip", "ip_prefix"),
)
"""Columns that change together, so that one look-up serves all: of the client, of the request, of the network."""

DERIVED: Final[dict[str, tuple[str, ...]]] = {
    "profile": ("os", "browser", "language_primary"),
    "manner": ("user_agent", "language", "protocol", "tls_fingerprint"),
    "shape": ("method", "endpoint", "status", "action", "outcome"),
    "device": ("device_id", "os", "browser", "device_class"),
    "country_language": ("country", "language_primary"),
    "section": ("path",),
    "directory": ("path",),
    "file": ("path",),
    "depth": ("path",),
    "path_length": ("path",),
    "path_number": ("path",),
    "query_length": ("query",),
    "agent_rarity": ("user_agent",),
    "language_rarity": ("language",),
    "profile_rarity": ("os", "browser", "language_primary"),
    "country_language_rarity": ("country", "language_primary"),
}
"""Fields that follow from columns, and from which."""

_DIRECT: Final = ("client_ip", "ip_prefix", "user", "session_token")
_OF_TIME: Final = {
    "time_ms": "t // 1000 if t >= 0 else None",
    "utc_hour": "t // 3600000000 % 24",
    "coarseness": "0 if t % 1000000 else 1 if t % 60000000 else 2",
}
_COMPUTED: Final = {
    "bytes_sent": ("bytes_sent", "b if b.__class__ is int and 0 <= b < 1000000000 else size_of(b)"),
    "duration_ms": ("duration_s", "None if b is None else milliseconds(b)"),
}
_NOT_COLUMNS: Final = ("bytes_sent", "duration_s", "bytes_log2", "duration_ms")


@dataclass(frozen=True)
class Group:
    """Columns that are looked up together, the fields that follow from them, and those of which codes are kept."""

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    coded: tuple[str, ...] = ()


@dataclass
class Layout:
    """What the code of one definition reads, and where its bits stand.

    Attributes
    ----------
    groups : list of Group
        Look-ups of an event.
    direct : tuple of str
        Columns read without a look-up.
    coded : set of str
        Fields of text that a session keeps values of: it keeps their codes.
    computed, of_time : dict of str to str
        Code of further fields.
    needed : set of str
        All fields that are read.
    lanes : list of Lane
        What is counted.
    atoms : dict of Atom to int
        Bits of the mask.
    row_atoms : list of (Atom, int)
        Atoms that no look-up answers, with their bits.
    wheres, rules : dict
        Bits of the conditions of scans, and of windows, among the answers to a mask.
    """

    definition: Definition
    lanes: list[Lane]
    atoms: dict[Atom, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    direct: tuple[str, ...] = _DIRECT
    computed: dict[str, tuple[str, str]] = field(default_factory=dict)
    of_time: dict[str, str] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    coded: set[str] = field(default_factory=set)
    asked_missing: set[str] = field(default_factory=set)
    asked_direct: set[str] = field(default_factory=set)
    rule_group: int | None = None
    row_atoms: list[tuple[Atom, int]] = field(default_factory=list)
    steps: list[Reference] = field(default_factory=list)
    wheres: dict[Condition, int] = field(default_factory=dict)
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, definition: Definition, lanes: list[Lane]) -> Layout:
        """Plan the look-ups of a definition, of whose lanes these are counted."""
        self = cls(definition, lanes)
        plan = definition.plan
        text, numbers = kept_fields(plan)
        atoms = (*plan.early, *plan.late)
        self.needed = {*text, *numbers, *ACTOR, "client_ip", "profile"} | set(plan.fields)
        self.needed |= {atom.reference.field.name for atom in atoms}
        self.needed.discard("source")
        self.coded = {*ACTOR, *(scan.reference.field.name for scan in plan.scans if scan.is_grouped and scan.reference)}
        self.coded |= {name for window in plan.windows for name in window.coded}
        self.coded = {name for name in self.coded if not FIELDS[name].is_number}
        self.asked_direct = {atom.reference.field.name for atom in plan.early if not isinstance(atom, Known)} & set(
            _DIRECT
        )
        self.asked_missing = {atom.reference.field.name for atom in plan.early if isinstance(atom, Missing)}
        references = [scan.reference for scan in plan.scans if scan.reference] + [atom.reference for atom in atoms]
        self.steps = list(dict.fromkeys(reference for reference in references if reference.is_step))
        self.kinds = {window.name: window.kind for window in plan.windows}
        self._add_groups()
        self._add_code()
        self._add_conditions()
        looked_up = {name for group in self.groups for name in (*group.columns, *group.fields)}
        self.atoms = {atom: bit for bit, atom in enumerate(self._asked())}
        self.rule_group = self._find_rule_group()
        self.row_atoms = [
            (atom, bit)
            for atom, bit in self.atoms.items()
            if atom.reference.is_step or atom.reference.field.name not in looked_up
        ]
        self._refuse_what_is_not_told()
        return self

    def _refuse_what_is_not_told(self) -> None:
        """Refuse to guess: whether the log has a column is known of looked-up ones alone, not of wide numbers."""
        for atom, _ in self.row_atoms:
            if isinstance(atom, Missing):
                name = atom.reference.field.name
                raise ConfigError(
                    f"missing({name}) can't be told event by event: ask not known({name}), or use it in batches alone",
                    parameter="definition",
                )

    def _asked(self) -> list[Atom]:
        """Return the atoms of the conditions that a live event is asked, each once."""
        conditions = [lane.condition for lane in self.lanes] + [*self.wheres]
        for window in self.definition.plan.windows:
            conditions += [c for c in (window.where_condition, window.needs_condition) if c is not None]
        return list(dict.fromkeys(atom for condition in conditions for atom in atoms_of(condition)))

    def _find_rule_group(self) -> int | None:
        """Return the one look-up that answers all that windows ask, if there is one."""
        windows = [window for window in self.definition.plan.windows if window.needs]
        asked = {c for window in windows for c in (window.where_condition, window.needs_condition) if c is not None}
        names = {atom.reference.field.name for condition in asked for atom in atoms_of(condition)}
        return next((i for i, group in enumerate(self.groups) if names and names <= set(group.fields)), None)

    def group_of(self, reference: Reference | None) -> int | None:
        """Return which look-up gives a field's value, if any does."""
        if reference is None or reference.is_step:
            return None
        name = reference.field.name
        return next((i for i, group in enumerate(self.groups) if name in group.fields), None)

    def _add_groups(self) -> None:
        columns = {name for name in self.needed if not FIELDS[name].is_computed} - set(_NOT_COLUMNS)
        columns -= set(_DIRECT) - self.asked_direct
        columns |= {"client_ip"} if "ip_prefix" in columns else set()
        columns |= {column for name in self.needed for column in DERIVED.get(name, ())}
        columns |= {"country"} if "local_hour" in self.needed else set()
        together = [tuple(name for name in group if name in columns) for group in _TOGETHER]
        alone = sorted(columns - {name for group in together for name in group})
        for group in [*together, *((name,) for name in alone)]:
            fields = [*group, *(n for n, needs in DERIVED.items() if n in self.needed and set(needs) <= set(group))]
            if "country" in group and "local_hour" in self.needed:
                fields.append("offset")
            if group:
                self.groups.append(Group(group, tuple(fields), tuple(name for name in fields if name in self.coded)))

    def _add_code(self) -> None:
        if "bytes_log2" in self.needed:
            self.needed.add("bytes_sent")
        self.computed = {name: code for name, code in _COMPUTED.items() if name in self.needed}
        self.of_time = {name: code for name, code in _OF_TIME.items() if name in self.needed}
        if "local_hour" in self.needed:
            self.of_time["local_hour"] = "None if v_offset is None else (t + v_offset) // 3600000000 % 24"

    def _add_conditions(self) -> None:
        plan = self.definition.plan
        for scan in plan.scans:
            if scan.where is not None:
                self.wheres.setdefault(scan.where, 1 << len(self.wheres))
        for i, window in enumerate(window for window in plan.windows if window.needs):
            self.rules[window.name] = 1 << 2 * i, 2 << 2 * i
