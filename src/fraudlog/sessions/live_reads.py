"""Python written for one definition: the code that reads an event, finds its session and asks the windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.sessions.facts import ACTOR
from fraudlog.sessions.live_slots import CLIENT, HEAD
from fraudlog.sessions.windows import APPROACHES

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Reference
    from fraudlog.sessions.live_layout import Group, Layout
    from fraudlog.sessions.live_program import Program
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.windows import Window

__all__ = [
    "Writer",
    "named",
    "write_compiled",
    "write_late_reads",
    "write_reads",
    "write_rules",
    "write_sequence",
    "write_session",
    "write_window",
]


def named(reference: Reference) -> str:
    """Name of the local variable that holds a field's value."""
    return f"d_{reference.field.name}" if reference.is_step else f"v_{reference.field.name}"


_NAMED: Final = (
    "('t', v_session_token) if v_session_token is not None else ('u', v_user) if v_user is not None "
    "else (v_ip_prefix, v_user_agent, v_language)"
)


class Writer:
    """Lines of code at an indentation."""

    def __init__(self, indent: int, exact_values: int | None = None) -> None:
        self.lines: list[str] = []
        self.indent = indent
        self.exact_values = exact_values

    def add(self, line: str, deeper: int = 0) -> None:
        """Add a line, indented so much deeper."""
        self.lines.append("    " * (self.indent + deeper) + line)


def write_reads(out: Writer, layout: Layout) -> None:
    """Write the reading of an event: its columns, and what the look-ups know of them.

    How to get at the columns of each look-up depends only on which columns an event has; that is worked out once for
    each such set, and so are the entries of each look-up for the values they have.
    """
    out.add("get = event.get")
    out.add("t = get('timestamp')")
    out.add("if t.__class__ is not int: t = moment(t)")
    if layout.groups:
        out.add("k = shape_get(tuple(event))")
        out.add("if k is None: k = shape_miss(event)")
        out.add(", ".join(f"p{i}, g{i}" for i in range(len(layout.groups))) + ", = k")
    for i, group in enumerate(layout.groups):
        out.add(f"e{i} = g{i}[p{i}(event)]")
        if _is_early(group, layout):
            _write_entry(out, i, group)
    for name in layout.direct:
        out.add(f"v_{name} = get({name!r})")
    out.add("if v_ip_prefix is None: v_ip_prefix = v_client_ip")
    for name in layout.direct:
        if name in layout.coded:
            out.add(f"h_{name} = None if v_{name} is None else code_get(v_{name}) or code(v_{name})")
    for name, (column, code) in layout.computed.items():
        out.add(f"b = get({column!r})")
        out.add(f"v_{name} = {code}")


def write_late_reads(out: Writer, layout: Layout) -> None:
    """Write the rest of the reading, which neither sessions nor windows need."""
    for i, group in enumerate(layout.groups):
        if not _is_early(group, layout):
            _write_entry(out, i, group)
    out.add(f"m = {' | '.join(f'm{i}' for i in range(len(layout.groups))) or '0'}")
    if "bytes_log2" in layout.needed:
        out.add("v_bytes_log2 = None if v_bytes_sent is None else v_bytes_sent.bit_length()")


def _write_entry(out: Writer, i: int, group: Group) -> None:
    names = [f"v_{name}" for name in group.fields] + [f"h_{name}" for name in group.coded]
    out.add(f"{', '.join((f'o{i}', f'r{i}', f'm{i}', *names))}, = e{i}")


def _is_early(group: Group, layout: Layout) -> bool:
    """Whether sessions or windows need what a look-up says."""
    read = {*ACTOR, *(name.lower() for name in HEAD), "profile"}
    read |= {name for window in layout.definition.plan.windows for name in window.reads}
    return bool(read & set(group.fields))


def write_rules(out: Writer, layout: Layout) -> None:
    """Write the look-up of which windows take part in an event: in one entry, if that says it all."""
    if not layout.rules:
        return
    if layout.rule_group is not None:
        out.add(f"r = e{layout.rule_group}[1]")
        return
    out.add(f"m = {' | '.join(f'e{i}[2]' for i in range(len(layout.groups)))}")
    out.add("r = rule_get(m)")
    out.add("if r is None: r = rule_miss(m)")


def write_compiled(out: Writer, layout: Layout, program: Program) -> None:
    """Write the way of a session whose state is an array: all values to the compiled update, which does the rest."""
    direct = [_number_of(name, layout) for name in ("client_ip", "ip_prefix", "user", "session_token")]
    computed = [
        f"NONE if v_{name} is None else v_{name}" if name in layout.computed else "NONE"
        for name in ("bytes_sent", "duration_ms")
    ]
    entries = [f"e{i}[0]" for i in range(len(layout.groups))]
    out.add("a = s[4]")
    out.add("if a.__class__ is not int:")
    out.add(f"pack(buffer, 0, n, before_us, t, {', '.join([*computed, *direct, *entries])})", 1)
    for name, place in program.given.items():
        out.add(f"if v_{name} is not None: event_words[{place}] = v_{name}", 1)
    out.add("b = take(words, a, registers, pools[0], 0)", 1)
    out.add("if b: again(s, b)", 1)
    out.add("return s", 1)


def _number_of(name: str, layout: Layout) -> str:
    return f"NONE if v_{name} is None else {f'h_{name}' if name in layout.coded else '0'}"


def write_session(out: Writer, definition: Definition) -> None:
    """Write the search for the session of an event, and what is kept of it beside its features."""
    out.add("if v_session_token is not None: actor = ('t', h_session_token)")
    out.add("elif v_user is not None: actor = ('u', h_user)")
    out.add("else: actor = (h_ip_prefix, h_user_agent, h_language)")
    out.add("s = find(actor)")
    out.add("if s is None:")
    out.add("if v_ip_prefix.__class__ is str: v_ip_prefix = intern(v_ip_prefix)", 1)
    out.add(f"s = opened(actor, {_NAMED}, t, 0)", 1)
    out.add("else:")
    out.add("gap = t - s[1]", 1)
    out.add("if gap < 0: t = s[1]; gap = 0; clamped()", 1)
    out.add(f"if gap > {definition.session_gap_us}: ended(s, 'gap'); s = opened(actor, {_NAMED}, t, 0)", 1)
    out.add(f"elif t - s[0] > {definition.max_duration_us} or s[2] >= {definition.max_events}:", 1)
    out.add(f"ended(s, 'limit'); s = opened(actor, {_NAMED}, t, s[3] + 1)", 2)
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


def write_sequence(out: Writer, layout: Layout, slots: Slots) -> None:
    """Write the fields of time, and those that follow from the event before."""
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
        out.add(f"{named(reference)} = None if b is None or {value} is None else {value} - b")
        out.add(f"s[{place}] = {value}")


def write_window(out: Writer, window: Window, layout: Layout) -> None:
    """Write the call of one window, if its key and value are known."""
    name, see, key = window.name, f"see_{window.name}", f"h_{window.key}"
    value = f"v_{window.value}" if window.kind == "speed" else f"h_{window.value}"
    known = " and ".join(f"v_{field} is not None" for field in window.reads)
    if window.kind in APPROACHES:
        needed, where = layout.rules[name]
        out.add(f"v_{name} = v_{window.new} = None")
        call = f"{see}({key}, {value}, t, h_{window.counted}, r & {needed}, r & {where})"
        out.add(f"if {known} and r & {needed | where}: v_{name}, v_{window.new} = {call}")
    elif window.needs:
        needed, where = layout.rules[name]
        out.add(f"v_{name} = None")
        out.add(f"if {known}:")
        call = (
            f"{see}({key}, {value}, t)[0]" if window.kind == "distinct" else f"{see}({key}, 1 if r & {where} else 0, t)"
        )
        out.add(f"if r & {needed}: v_{name} = {call}", 1)
    elif window.new:
        out.add(f"v_{name}, v_{window.new} = {see}({key}, {value}, t) if {known} else (None, None)")
    elif window.kind == "distinct":
        out.add(f"v_{name} = {see}({key}, {value}, t)[0] if {known} else None")
    elif window.kind == "speed":
        out.add(f"v_{name} = {see}({key}, {value}, t) if {known} else None")
    else:
        out.add(f"v_{name} = {see}({key}, 1, t) if {known} else None")
