"""Python written for one definition: the code that takes an event into a session.

An interpreter of the plan would spend its time on dispatch. So the plan is unrolled once into straight-line Python, as
`dataclasses` and `attrs` do with their methods. All that enters the text are numbers and slots; constants of the user's
expressions stay outside of it, in the tables of masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.sessions.language import Compare, Known
from fraudlog.sessions.live_reads import (
    Writer,
    named,
    write_compiled,
    write_late_reads,
    write_reads,
    write_rules,
    write_sequence,
    write_session,
    write_window,
)
from fraudlog.sessions.plan import GROUPED, Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.live_layout import Layout
    from fraudlog.sessions.live_program import Program
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.plan import Atom
    from fraudlog.sessions.windows import Window

__all__ = ["groups_of", "kinds_of", "observe_source"]

_COUNTED: Final = ("weights", "top")
_SQUARE_CLAMP: Final = (1 << 23) - 1
_ALWAYS_KNOWN: Final = ("utc_hour", "coarseness")


def _kept(reference: Reference) -> str:
    """Name of the local variable that holds what a session keeps of a field's value: of a text, its code."""
    name = reference.field.name
    return named(reference) if reference.field.is_number else f"h_{name}"


def observe_source(
    definition: Definition,
    layout: Layout,
    slots: Slots,
    exact_values: int | None = None,
    program_of: Callable[[], Program] | None = None,
    watched: tuple[Window, ...] = (),
) -> str:
    """Write the function that takes an event in and returns the session's state.

    With `exact_values`, a session that has more distinct values of a field keeps a sample of them. With
    `program_of`, called once all slots are known, sessions whose state is an array go the compiled way; the
    windows `watched` are then looked at there.
    """
    plan = definition.plan
    out = Writer(2, exact_values)
    write_reads(out, layout)
    write_session(out, definition)
    write_rules(out, layout)
    for window in plan.windows:
        if window not in watched:
            write_window(out, window, layout)
    compiled_from = len(out.lines)
    for window in watched:
        write_window(out, window, layout)
    write_late_reads(out, layout)
    write_sequence(out, layout, slots)
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
    for key in groups_of(definition):
        if not _is_idempotent(key, definition) or layout.group_of(_reference(key)) is None:
            out.add(f"if {_condition(key[1], layout, named(_reference(key)))}:")
            _write_group(out, key, definition, slots, 1)
    for where in dict.fromkeys(scan.where for scan in plan.scans if scan.kind == "burst"):
        windows = [scan.window_s for scan in plan.scans if scan.kind == "burst" and scan.where == where]
        _write_burst(out, where, sorted(windows), slots, layout)
    out.add("return s")
    if program_of is not None:
        compiled = Writer(2)
        write_compiled(compiled, layout, program_of())
        out.lines[compiled_from:compiled_from] = compiled.lines
    return "\n".join(["    def observe(event):", *out.lines, "    return observe"])


_Key = tuple["Reference | None", "Condition | None"]


def _reference(key: _Key) -> Reference:
    if key[0] is None:
        raise TypeError(key)
    return key[0]


def _value(scan: Scan) -> str:
    if scan.reference is None:
        raise TypeError(scan.kind)
    return named(scan.reference)


def groups_of(definition: Definition) -> list[_Key]:
    """Return what distinct values are kept of: field and condition."""
    scans = [scan for scan in definition.plan.scans if scan.kind in GROUPED]
    return list(dict.fromkeys((scan.reference, scan.where) for scan in scans))


def kinds_of(key: _Key, definition: Definition) -> set[str]:
    """Return what is asked of the distinct values of one field."""
    return {scan.kind for scan in definition.plan.scans if (scan.reference, scan.where) == key and scan.kind in GROUPED}


def _is_idempotent(key: _Key, definition: Definition) -> bool:
    """Whether the same value once more changes nothing."""
    return key[1] is None and not kinds_of(key, definition) & set(_COUNTED)


def _numbers_alone(definition: Definition) -> dict[Reference, list[Scan]]:
    """Return the scans of numbers without a condition, by field."""
    scans: dict[Reference, list[Scan]] = {}
    for scan in definition.plan.scans:
        if scan.kind not in (*GROUPED, "burst") and scan.where is None and scan.reference is not None:
            scans.setdefault(scan.reference, []).append(scan)
    return scans


def _write_fields(out: Writer, alone: dict[Reference, list[Scan]], slots: Slots, layout: Layout) -> None:
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
            out.add(f"if {named(reference)} is not None:")
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


def _write_repeated(out: Writer, alone: dict[Reference, list[Scan]], slots: Slots, layout: Layout) -> None:
    """Write what changes only with the entry of a look-up: most events of a session repeat the client's."""
    definition = layout.definition
    for i, _ in enumerate(layout.groups):
        body = Writer(out.indent + 1, out.exact_values)
        for reference, scans in alone.items():
            for scan in scans:
                if layout.group_of(reference) == i and _is_repeated(scan, layout):
                    body.add(f"if {named(reference)} is not None:")
                    _write_number(body, scan, slots, 1)
        for key in groups_of(definition):
            if _is_idempotent(key, definition) and layout.group_of(_reference(key)) == i:
                body.add(f"if {named(_reference(key))} is not None:")
                _write_group(body, key, definition, slots, 1)
        if body.lines:
            place = slots.add(("entry", i), None)
            out.add(f"if e{i} is not s[{place}]:")
            out.add(f"s[{place}] = e{i}", 1)
            out.lines += body.lines


def _test(atom: Compare) -> str:
    """Write a comparison of a number that is known."""
    numbers = [int(constant) for constant in atom.constants]
    operation = f"in {tuple(numbers)!r}" if atom.operator == "in" else f"{atom.operator} {numbers[0]}"
    return f"{named(atom.reference)} {operation}"


def _condition(scan_where: Condition | None, layout: Layout, value: str | None) -> str:
    tests = [] if value is None else [f"{value} is not None"]
    if scan_where is not None:
        tests.insert(0, f"w & {layout.wheres[scan_where]}")
    return " and ".join(tests) or "True"


def _write_number(out: Writer, scan: Scan, slots: Slots, deeper: int) -> None:
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


def _write_group(out: Writer, key: _Key, definition: Definition, slots: Slots, deeper: int) -> None:
    """Write what is kept of the distinct values of one field.

    A session's only value is kept by itself; a set or a table of counts comes with the second.
    """
    kinds, value = kinds_of(key, definition), _kept(_reference(key))
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


def _write_counts(out: Writer, key: _Key, value: str, kinds: set[str], slots: Slots, deeper: int) -> None:
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


def _write_burst(out: Writer, where: Condition | None, windows: list[int], slots: Slots, layout: Layout) -> None:
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
