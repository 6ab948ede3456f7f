"""Python written for one definition: the code that takes an event into a session, and the code that reads features off.

An interpreter of the plan would spend its time on dispatch. So the plan is unrolled once into straight-line Python, as
`dataclasses` and `attrs` do with their methods. All that enters the text are numbers and slots; constants of the user's
expressions stay outside of it, in the tables of masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from fraudlog.sessions.language import Compare, Known, Number
from fraudlog.sessions.plan import (
    GROUPED,
    Fine,
    Guarded,
    Lane,
    Operation,
    Scan,
    Size,
    SquareRoot,
    Uncertainty,
    selection,
)
from fraudlog.sessions.windows import APPROACHES

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.live_facts import Layout
    from fraudlog.sessions.plan import Atom, Outcome
    from fraudlog.sessions.windows import Window

__all__ = ["CLIENT", "HEAD", "Slots", "live_lanes", "observe_source", "values_source"]

HEAD: Final = (
    "START",
    "LAST",
    "N",
    "PIECE",
    "LANES",
    "ACTOR",
    "ID",
    "IP",
    "PREFIX",
    "USER",
    "PROFILE",
    "AGENT",
    "SOURCE",
    "LINE",
    "ESTIMATED",
    "NOTES",
    "WEIGHT",
    "RESTORED",
    "BROWSER",
    "BROWSER_VERSION",
    "OS",
    "DEVICE_CLASS",
    "LANGUAGE",
    "LANGUAGE_PRIMARY",
    "COUNTRY",
    "ASN",
)
"""Slots that every session has."""

CLIENT: Final = HEAD[HEAD.index("BROWSER") :]
"""Those of them that say who the client of the first event is."""

_COUNTED: Final = ("weights", "top")
_SQUARE_CLAMP: Final = (1 << 23) - 1
_ALWAYS_KNOWN: Final = ("utc_hour", "coarseness")


class Slots:
    """Places in the list that is a session's state, and what each holds at first."""

    def __init__(self) -> None:
        self.initial: list[object] = [0] * 5 + [None] * (len(HEAD) - 5)
        self.initial[14], self.initial[16], self.initial[17] = False, 0, False
        self._of: dict[object, int] = {}

    def __getitem__(self, key: object) -> int:
        return self._of[key]

    def __contains__(self, key: object) -> bool:
        return key in self._of

    @property
    def keys(self) -> tuple[object, ...]:
        """What each slot behind the head holds, in order."""
        return tuple(self._of)

    def add(self, key: object, initial: object) -> int:
        """Return the place of `key`, a new one if it has none."""
        if key not in self._of:
            self._of[key] = len(self.initial)
            self.initial.append(initial)
        return self._of[key]


def _name(reference: Reference) -> str:
    """Name of the local variable that holds a field's value."""
    return f"d_{reference.field.name}" if reference.is_step else f"v_{reference.field.name}"


def _kept(reference: Reference) -> str:
    """Name of the local variable that holds what a session keeps of a field's value: of a text, its code."""
    name = reference.field.name
    return _name(reference) if reference.field.is_number else f"h_{name}"


class _Writer:
    """Lines of code at an indentation."""

    def __init__(self, indent: int, exact_values: int | None = None) -> None:
        self.lines: list[str] = []
        self.indent = indent
        self.exact_values = exact_values

    def add(self, line: str, deeper: int = 0) -> None:
        self.lines.append("    " * (self.indent + deeper) + line)


def observe_source(definition: Definition, layout: Layout, slots: Slots, exact_values: int | None = None) -> str:
    """Write the function that takes an event in and returns the session's state.

    With `exact_values`, a session that has more distinct values of a field keeps a sample of them.
    """
    plan = definition.plan
    out = _Writer(2, exact_values)
    _write_reads(out, layout)
    _write_session(out, definition)
    _write_sequence(out, layout, slots)
    for window in plan.windows:
        _write_window(out, window, layout)
    alone = _numbers_alone(definition)
    _write_fields(out, alone, slots, layout)
    _write_repeated(out, alone, slots, layout)
    out.add("w = lane_get(m)")
    out.add("if w is None: w = lane_miss(m)")
    out.add("s[4] += w[0]")
    out.add("w = w[1]")
    for scan in plan.scans:
        if scan.kind not in (*GROUPED, "burst") and scan.where is not None:
            out.add(f"if {_condition(scan.where, layout, _value(scan))}:")
            _write_number(out, scan, slots, 1)
    for key in _groups(definition):
        if not _is_idempotent(key, definition) or layout.group_of(_reference(key)) is None:
            out.add(f"if {_condition(key[1], layout, _name(_reference(key)))}:")
            _write_group(out, key, definition, slots, 1)
    for where in dict.fromkeys(scan.where for scan in plan.scans if scan.kind == "burst"):
        windows = [scan.window_s for scan in plan.scans if scan.kind == "burst" and scan.where == where]
        _write_burst(out, where, sorted(windows), slots, layout)
    out.add("return s")
    names = [f"    {name} = env[{name!r}]" for name in layout.environment]
    return "\n".join(["def make(env):", *names, "    def observe(event):", *out.lines, "    return observe"])


_Key = tuple["Reference | None", "Condition | None"]


def _reference(key: _Key) -> Reference:
    if key[0] is None:
        raise TypeError(key)
    return key[0]


def _value(scan: Scan) -> str:
    if scan.reference is None:
        raise TypeError(scan.kind)
    return _name(scan.reference)


def _groups(definition: Definition) -> list[_Key]:
    """Return what distinct values are kept of: field and condition."""
    scans = [scan for scan in definition.plan.scans if scan.kind in GROUPED]
    return list(dict.fromkeys((scan.reference, scan.where) for scan in scans))


def _kinds(key: _Key, definition: Definition) -> set[str]:
    return {scan.kind for scan in definition.plan.scans if (scan.reference, scan.where) == key and scan.kind in GROUPED}


def _is_idempotent(key: _Key, definition: Definition) -> bool:
    """Whether the same value once more changes nothing."""
    return key[1] is None and not _kinds(key, definition) & set(_COUNTED)


def _numbers_alone(definition: Definition) -> dict[Reference, list[Scan]]:
    """Return the scans of numbers without a condition, by field."""
    scans: dict[Reference, list[Scan]] = {}
    for scan in definition.plan.scans:
        if scan.kind not in (*GROUPED, "burst") and scan.where is None and scan.reference is not None:
            scans.setdefault(scan.reference, []).append(scan)
    return scans


def _write_fields(out: _Writer, alone: dict[Reference, list[Scan]], slots: Slots, layout: Layout) -> None:
    """Write the bits of each field's atoms and its scans without a condition, behind one look for null."""
    atoms: dict[Reference, list[tuple[Atom, int]]] = {}
    for atom, bit in layout.row_atoms:
        atoms.setdefault(atom.reference, []).append((atom, bit))
    for reference in dict.fromkeys([*atoms, *alone]):
        scans = [scan for scan in alone.get(reference, []) if not _is_repeated(scan, layout)]
        asked = atoms.get(reference, [])
        if not scans and not asked:
            continue
        deeper = 0 if reference.field.name in _ALWAYS_KNOWN and not reference.is_step else 1
        if deeper:
            out.add(f"if {_name(reference)} is not None:")
        known = sum(1 << bit for atom, bit in asked if isinstance(atom, Known))
        if known:
            out.add(f"m |= {known}", deeper)
        for atom, bit in asked:
            if isinstance(atom, Compare):
                out.add(f"if {_test(atom)}: m |= {1 << bit}", deeper)
        for scan in scans:
            _write_number(out, scan, slots, deeper)


def _is_repeated(scan: Scan, layout: Layout) -> bool:
    """Whether a scan has nothing to do when its field's look-up gave what it gave before."""
    return scan.kind in ("min", "max", "first", "last") and layout.group_of(scan.reference) is not None


def _write_repeated(out: _Writer, alone: dict[Reference, list[Scan]], slots: Slots, layout: Layout) -> None:
    """Write what changes only with the entry of a look-up: most events of a session repeat the client's."""
    definition = layout.definition
    for i, _ in enumerate(layout.groups):
        body = _Writer(out.indent + 1, out.exact_values)
        for reference, scans in alone.items():
            for scan in scans:
                if layout.group_of(reference) == i and _is_repeated(scan, layout):
                    body.add(f"if {_name(reference)} is not None:")
                    _write_number(body, scan, slots, 1)
        for key in _groups(definition):
            if _is_idempotent(key, definition) and layout.group_of(_reference(key)) == i:
                body.add(f"if {_name(_reference(key))} is not None:")
                _write_group(body, key, definition, slots, 1)
        if body.lines:
            place = slots.add(("entry", i), None)
            out.add(f"if e{i} is not s[{place}]:")
            out.add(f"s[{place}] = e{i}", 1)
            out.lines += body.lines


def _write_reads(out: _Writer, layout: Layout) -> None:
    out.add("get = event.get")
    out.add("t = moment(get('timestamp'))")
    for i, group in enumerate(layout.groups):
        columns = [_getter(column, layout) for column in group.columns]
        out.add(f"k = {columns[0] if len(columns) == 1 else '(' + ', '.join(columns) + ')'}")
        out.add(f"e{i} = get{i}(k)")
        out.add(f"if e{i} is None: e{i} = miss{i}(k)")
        names = [f"m{i}", *(f"v_{name}" for name in group.fields), *(f"h_{name}" for name in group.coded)]
        out.add(f"{', '.join(names)}, = e{i}")
    out.add(f"m = {' | '.join(f'm{i}' for i in range(len(layout.groups))) or '0'}")
    for name in layout.direct:
        out.add(f"v_{name} = get({name!r})")
    out.add("if v_ip_prefix is None: v_ip_prefix = v_client_ip")
    for name in layout.direct:
        if name in layout.coded:
            out.add(f"h_{name} = None if v_{name} is None else code_get(v_{name}) or code(v_{name})")
    for name, code in layout.computed.items():
        out.add(f"v_{name} = {code}")


def _getter(column: str, layout: Layout) -> str:
    return f"get({column!r}, absent)" if column in layout.asked_missing else f"get({column!r})"


def _write_session(out: _Writer, definition: Definition) -> None:
    out.add("if v_session_token is not None: actor = ('t', h_session_token); named = ('t', v_session_token)")
    out.add("elif v_user is not None: actor = ('u', h_user); named = ('u', v_user)")
    out.add("else:")
    out.add("actor = (h_ip_prefix, h_user_agent, h_language)", 1)
    out.add("named = (v_ip_prefix, v_user_agent, v_language)", 1)
    out.add("s = find(actor)")
    out.add("if s is None:")
    out.add("s = opened(actor, named, t, 0)", 1)
    out.add("else:")
    out.add("gap = t - s[1]", 1)
    out.add("if gap < 0: t = s[1]; gap = 0; clamped()", 1)
    out.add(f"if gap > {definition.session_gap_us}: ended(s, 'gap'); s = opened(actor, named, t, 0)", 1)
    out.add(f"elif t - s[0] > {definition.max_duration_us} or s[2] >= {definition.max_events}:", 1)
    out.add("ended(s, 'limit'); s = opened(actor, named, t, s[3] + 1)", 2)
    out.add("else: moved(actor)", 1)
    out.add("n = s[2]")
    out.add("if n:")
    out.add("gap_us = t - s[1]", 1)
    out.add("if s[17]: s[7] = v_client_ip; s[8] = v_ip_prefix; s[9] = v_user; s[10] = v_profile", 1)
    out.add("if s[17]: s[11] = v_user_agent; s[17] = False", 1)
    out.add("else:")
    out.add("gap_us = None", 1)
    out.add("s[7] = v_client_ip; s[8] = v_ip_prefix; s[10] = v_profile; s[11] = v_user_agent", 1)
    out.add("s[12] = get('source'); s[13] = get('line_number')", 1)
    places = {name.lower(): place for place, name in enumerate(HEAD)}
    out.add("; ".join(f"s[{places[name]}] = v_{name}" for name in map(str.lower, CLIENT)), 1)
    out.add("if v_user is not None and s[9] is None: s[9] = v_user")
    out.add("s[2] = n + 1")
    out.add("before_us = s[1]")
    out.add("s[1] = t")


def _write_sequence(out: _Writer, layout: Layout, slots: Slots) -> None:
    for name, code in layout.of_time.items():
        out.add(f"v_{name} = {code}")
    if "gap_ms" in layout.needed or "gap_log2" in layout.needed:
        out.add("v_gap_ms = None if gap_us is None else gap_us // 1000")
        out.add("v_gap_log2 = None if gap_us is None else v_gap_ms.bit_length()")
    if "page_gap_ms" in layout.needed:
        place = slots.add("page", None)
        out.add("v_page_gap_ms = None")
        out.add("if v_endpoint == 'page':")
        out.add(f"if s[{place}] is not None: v_page_gap_ms = (t - s[{place}]) // 1000", 1)
        out.add(f"s[{place}] = t", 1)
    for reference in layout.steps:
        place, value = slots.add(("step", reference), None), f"v_{reference.field.name}"
        out.add(f"b = s[{place}]")
        out.add(f"{_name(reference)} = None if b is None or {value} is None else {value} - b")
        out.add(f"s[{place}] = {value}")


def _test(atom: Compare) -> str:
    """Write a comparison of a number that is known."""
    numbers = [int(constant) for constant in atom.constants]
    operation = f"in {tuple(numbers)!r}" if atom.operator == "in" else f"{atom.operator} {numbers[0]}"
    return f"{_name(atom.reference)} {operation}"


def _write_window(out: _Writer, window: Window, layout: Layout) -> None:
    """Write the call of one window, if its key and value are known."""
    name, see, key = window.name, f"see_{window.name}", f"h_{window.key}"
    value = f"v_{window.value}" if window.kind == "speed" else f"h_{window.value}"
    known = " and ".join(f"v_{field} is not None" for field in window.reads)
    if window.kind in APPROACHES:
        needed, where = layout.rules[name]
        out.add(f"v_{name} = v_{window.new} = None")
        out.add(f"if {known}:")
        out.add("w = rule_get(m)", 1)
        out.add("if w is None: w = rule_miss(m)", 1)
        call = f"{see}({key}, {value}, t, h_{window.counted}, w & {needed}, w & {where})"
        out.add(f"if w & {needed | where}: v_{name}, v_{window.new} = {call}", 1)
    elif window.needs:
        needed, where = layout.rules[name]
        out.add(f"v_{name} = None")
        out.add(f"if {known}:")
        out.add("w = rule_get(m)", 1)
        out.add("if w is None: w = rule_miss(m)", 1)
        call = (
            f"{see}({key}, {value}, t)[0]" if window.kind == "distinct" else f"{see}({key}, 1 if w & {where} else 0, t)"
        )
        out.add(f"if w & {needed}: v_{name} = {call}", 1)
    elif window.new:
        out.add(f"v_{name}, v_{window.new} = {see}({key}, {value}, t) if {known} else (None, None)")
    elif window.kind == "distinct":
        out.add(f"v_{name} = {see}({key}, {value}, t)[0] if {known} else None")
    elif window.kind == "speed":
        out.add(f"v_{name} = {see}({key}, {value}, t) if {known} else None")
    else:
        out.add(f"v_{name} = {see}({key}, 1, t) if {known} else None")


def _condition(scan_where: Condition | None, layout: Layout, value: str | None) -> str:
    tests = [] if value is None else [f"{value} is not None"]
    if scan_where is not None:
        tests.insert(0, f"w & {layout.wheres[scan_where]}")
    return " and ".join(tests) or "True"


def _write_number(out: _Writer, scan: Scan, slots: Slots, deeper: int) -> None:
    """Write a sum, sum of squares, least, greatest, first or last value."""
    value = _value(scan)
    place = slots.add(scan, 0 if scan.kind in ("sum", "sumsq") else None)
    match scan.kind:
        case "sum":
            out.add(f"s[{place}] += {value}", deeper)
        case "sumsq":
            reference = scan.reference
            is_wide = reference is not None and (reference.field.bits > 23 or reference.is_step)
            clamp = f"min(max({value}, {-_SQUARE_CLAMP}), {_SQUARE_CLAMP})" if is_wide else value
            out.add(f"b = {clamp}", deeper)
            out.add(f"s[{place}] += b * b", deeper)
        case "min" | "max":
            sign = "<" if scan.kind == "min" else ">"
            out.add(f"b = s[{place}]", deeper)
            out.add(f"if b is None or {value} {sign} b: s[{place}] = {value}", deeper)
        case "first":
            out.add(f"if s[{place}] is None: s[{place}] = {value}", deeper)
        case "last":
            out.add(f"s[{place}] = {value}", deeper)


def _write_group(out: _Writer, key: _Key, definition: Definition, slots: Slots, deeper: int) -> None:
    """Write what is kept of the distinct values of one field.

    A session's only value is kept by itself; a set or a table of counts comes with the second.
    """
    kinds, value = _kinds(key, definition), _kept(_reference(key))
    last = slots.add(("last", key), None)
    if kinds & set(_COUNTED):
        _write_counts(out, key, value, kinds, slots, deeper)
        return
    held = slots.add(("held", key), None) if "distinct" in kinds else None
    out.add(f"b = s[{last}]", deeper)
    out.add(f"if b != {value}:", deeper)
    out.add("if b is not None:", deeper + 1)
    if "switches" in kinds:
        out.add(f"s[{slots.add(('switches', key), 0)}] += 1", deeper + 2)
    if held is not None:
        out.add(f"if s[{held}] is None: s[{held}] = {{b, {value}}}", deeper + 2)
        out.add("else:", deeper + 2)
        out.add(f"d = s[{held}]; d.add({value})", deeper + 3)
        if out.exact_values is not None:
            out.add(f"if len(d) > {out.exact_values}: sampled(s, {held}, None)", deeper + 3)
    out.add(f"s[{last}] = {value}", deeper + 1)


def _write_counts(out: _Writer, key: _Key, value: str, kinds: set[str], slots: Slots, deeper: int) -> None:
    last, held, top = slots["last", key], slots.add(("held", key), None), slots.add(("top", key), 0)
    weights = slots.add(("weights", key), 0)
    switch = f"; s[{slots.add(('switches', key), 0)}] += 1" if "switches" in kinds else ""
    out.add(f"d = s[{held}]; b = s[{last}]", deeper)
    out.add("if d is None:", deeper)
    out.add(f"if b is None: s[{last}] = {value}; s[{top}] = 1", deeper + 1)
    out.add(f"elif b == {value}: s[{top}] += 1", deeper + 1)
    out.add("else:", deeper + 1)
    out.add(f"c = s[{top}]; s[{held}] = {{b: c, {value}: 1}}; s[{weights}] = weights[c]", deeper + 2)
    out.add(f"s[{last}] = {value}{switch}", deeper + 2)
    out.add("else:", deeper)
    out.add(f"c = d.get({value}, 0) + 1; d[{value}] = c; s[{weights}] += weights[c] - weights[c - 1]", deeper + 1)
    out.add(f"if c > s[{top}]: s[{top}] = c", deeper + 1)
    if out.exact_values is not None:
        out.add(f"if len(d) > {out.exact_values}: sampled(s, {held}, {weights})", deeper + 1)
    out.add(f"if b != {value}: s[{last}] = {value}{switch}", deeper + 1)


def _write_burst(out: _Writer, where: Condition | None, windows: list[int], slots: Slots, layout: Layout) -> None:
    """Write bursts in windows of several lengths over the same events: their times, and a pointer for each window.

    An event that stands alone in the longest window keeps no list.
    """
    longest = windows[-1] * 1_000_000
    times = slots.add(("times", where), None)
    heads = [slots.add(("head", where, window), 0) for window in windows]
    tops = [slots.add(("burst", where, window), 0) for window in windows]
    deeper = 0
    if where is not None:
        out.add(f"if {_condition(where, layout, None)}:")
        deeper = 1
        last = slots.add(("at", where), None)
        out.add(f"b = s[{last}]; s[{last}] = t", 1)
        gap = f"b is None or t - b >= {longest}"
    else:
        out.add("b = before_us")
        gap = f"gap_us is None or gap_us >= {longest}"
    out.add(f"if {gap}:", deeper)
    first = "; ".join(f"s[{top}] = s[{top}] or 1" for top in tops)
    out.add(f"s[{times}] = None; {first}", deeper + 1)
    out.add("else:", deeper)
    out.add(f"q = s[{times}]", deeper + 1)
    reset = " = ".join(f"s[{head}]" for head in heads)
    out.add(f"if q is None: s[{times}] = q = [b, t]; {reset} = 0", deeper + 1)
    out.add("else: q.append(t)", deeper + 1)
    out.add("c = len(q)", deeper + 1)
    for window, head, top in zip(windows, heads, tops, strict=True):
        out.add(f"h = s[{head}]; b = t - {window * 1_000_000}", deeper + 1)
        out.add("if q[h] <= b:", deeper + 1)
        out.add("while q[h] <= b: h += 1", deeper + 2)
        out.add(f"s[{head}] = h", deeper + 2)
        out.add(f"if c - h > s[{top}]: s[{top}] = c - h", deeper + 1)
    out.add("if h > 64:", deeper + 1)
    cut = "; ".join(f"s[{head}] -= h" for head in heads)
    out.add(f"del q[:h]; {cut}", deeper + 2)


class _Values:
    """Writes the expression of each feature."""

    def __init__(self, definition: Definition, slots: Slots) -> None:
        self.plan = definition.plan
        self.slots = slots
        self.lanes = {lane: place for place, lane in enumerate(live_lanes(definition))}
        self.shared: dict[Outcome, str] = {}
        self.temporary = 0
        self.lines: list[str] = []

    def share(self, outcome: Outcome, seen: dict[Outcome, int]) -> None:
        """Count how often each inner value is needed."""
        if isinstance(outcome, (Operation, SquareRoot)):
            seen[outcome] = seen.get(outcome, 0) + 1
            if seen[outcome] > 1:
                return
        for inner in _inner(outcome):
            self.share(inner, seen)

    def write(self, outcome: Outcome) -> str:
        """Return the code of a value, by name if it was worked out before."""
        if outcome in self.shared:
            return self.shared[outcome]
        return self.code(outcome)

    def fresh(self) -> str:
        self.temporary += 1
        return f"x{self.temporary}"

    def code(self, outcome: Outcome) -> str:
        """Return the code of a value."""
        match outcome:
            case Number(value):
                return repr(value)
            case Size():
                return "n"
            case Lane():
                return f"c{self.lanes[outcome]}"
            case Scan():
                return self.scan(outcome)
            case Guarded(value, support):
                return self.guarded(value, support)
            case Fine(value, _, limit):
                return f"({self.write(value)} if coarse <= {limit} else nan)"
            case SquareRoot(operand):
                name = self.fresh()
                return (
                    f"(sqrt({name}) if ({name} := {self.exact(operand)}) > 0.0 else 0.0 if {name} == {name} else nan)"
                )
            case Uncertainty(size, weights):
                return self.uncertainty(size, weights)
            case Operation(operator, left, right):
                return self.operation(operator, left, right)

    def guarded(self, value: Outcome, support: Lane) -> str:
        """Return the code of a value that is null without support; where it has a slot, an empty slot tells."""
        if not _tells_itself(value, support):
            return f"({self.write(value)} if c{self.lanes[support]} else nan)"
        name, key = self.fresh(), (value.reference, value.where)
        if value.kind not in GROUPED:
            return f"({name} if ({name} := s[{self.slots[value]}]) is not None else nan)"
        return f"({self.scan(value)} if s[{self.slots['last', key]}] is not None else nan)"

    def exact(self, outcome: Outcome) -> str:
        """Return the code of a value as float; Python's own division of large integers rounds otherwise."""
        code = self.write(outcome)
        return code if isinstance(outcome, (Number, Operation, SquareRoot, Uncertainty)) else f"float({code})"

    def operation(self, operator: str, left: Outcome, right: Outcome) -> str:
        if operator == "/":
            name = self.fresh()
            over, under = (self.write(side) if _is_small(side) else self.exact(side) for side in (left, right))
            return f"({over} / {name} if ({name} := {under}) else nan)"
        one, other = self.exact(left), self.exact(right)
        if operator in "+-*":
            return f"({one} {operator} {other})"
        first, second, sign = self.fresh(), self.fresh(), ">=" if operator == "max" else "<="
        return f"({first} if ({first} := {one}) {sign} ({second} := {other}) or {first} != {first} else {second})"

    def uncertainty(self, size: Lane, weights: Scan) -> str:
        key = (weights.reference, weights.where)
        held, kept = self.slots["held", key], self.slots["weights", key]
        count = f"c{self.lanes[size]}"
        return f"(0.0 if s[{held}] is None else (weights[{count}] - s[{kept}]) / ({count} * 1048576.0))"

    def scan(self, scan: Scan) -> str:
        key = (scan.reference, scan.where)
        match scan.kind:
            case "distinct":
                held, last = self.slots["held", key], self.slots["last", key]
                return f"(len(s[{held}]) if s[{held}] is not None else 0 if s[{last}] is None else 1)"
            case "switches":
                return f"s[{self.slots['switches', key]}]"
            case "top":
                return f"s[{self.slots['top', key]}]"
            case "burst":
                return f"s[{self.slots['burst', scan.where, scan.window_s]}]"
        return f"s[{self.slots[scan]}]"


def _tells_itself(value: Outcome, support: Lane) -> TypeGuard[Scan]:
    """Whether the slot of a scan is empty just where its support is 0."""
    if not isinstance(value, Scan) or value.kind in ("sum", "sumsq", "burst", "weights"):
        return False
    return support.condition == selection(value.reference, value.where) and not support.is_known


def live_lanes(definition: Definition) -> list[Lane]:
    """Return the lanes that the live twin counts: not those that only tell whether a slot is empty."""
    needed: dict[Lane, None] = {}

    def walk(outcome: Outcome) -> None:
        match outcome:
            case Lane():
                needed[outcome] = None
            case Guarded(value, support):
                if not _tells_itself(value, support):
                    needed[support] = None
                walk(value)
            case Uncertainty(size):
                needed[size] = None
            case _:
                for inner in _inner(outcome):
                    walk(inner)

    for outcome in definition.plan.outcomes.values():
        walk(outcome)
    return list(needed)


def _is_small(outcome: Outcome) -> bool:
    """Whether a value is an integer so small that Python's and NumPy's division of it are the same."""
    return isinstance(outcome, (Size, Lane)) or (
        isinstance(outcome, Scan) and outcome.kind in ("distinct", "switches", "top", "burst")
    )


def _inner(outcome: Outcome) -> tuple[Outcome, ...]:
    match outcome:
        case Guarded(value) | Fine(value):
            return (value,)
        case Operation(_, left, right):
            return left, right
        case SquareRoot(operand):
            return (operand,)
    return ()


def values_source(definition: Definition, slots: Slots) -> str:
    """Write the function that reads all features off a session's state."""
    plan = definition.plan
    writer = _Values(definition, slots)
    seen: dict[Outcome, int] = {}
    for outcome in plan.outcomes.values():
        writer.share(outcome, seen)
    lines = ["def values(s):", "    n = s[2]"]
    if writer.lanes:
        names = ", ".join(f"c{place}" for place in writer.lanes.values())
        lines.append(f"    {names}, = unpack(s[4].to_bytes({2 * len(writer.lanes)}, 'little'))")
    coarseness = next((o.coarseness for o in plan.outcomes.values() if isinstance(o, Fine)), None)
    if coarseness is not None:
        lines.append(f"    coarse = s[{slots[coarseness]}]")
    for outcome in sorted((o for o, times in seen.items() if times > 1), key=_height):
        name = writer.fresh()
        lines.append(f"    {name} = {writer.code(outcome)}")
        writer.shared[outcome] = name
    listed = ",\n        ".join(writer.write(outcome) for outcome in plan.outcomes.values())
    lines.append(f"    return [\n        {listed}\n    ]")
    return "\n".join(lines)


def _height(outcome: Outcome) -> int:
    return 1 + max((_height(inner) for inner in _inner(outcome)), default=0)
