"""The models that a store was given, which may have learnt from the person too: the configuration's, and older ones.

Models that the job made itself are learnt anew by `replay`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fraudlog.detecting import Detector
from fraudlog.errors import ConfigError
from fraudlog.jobs.model_files import entries_of, saved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from fraudlog.store import Store
    from fraudlog.subjects.persons import Person

__all__ = ["Forgotten", "forget_in_models", "models_know"]

_OWNERS = ("user", "client_ip")


@dataclass(frozen=True)
class Forgotten:
    """What becomes of given models when they forget somebody.

    Attributes
    ----------
    n_rows : int
        Rows and labels that were the person's; -1 if the configuration's model keeps none, so that nobody can tell.
    notes : tuple of str
        What is left to do by hand.
    exact : dict of str to bytes
        By the digest of a model that knew them: the model as if it never had.
    lessened : dict of str to bytes
        The same for models that keep no rows: without what they held under the person's name.
    """

    n_rows: int = 0
    notes: tuple[str, ...] = ()
    exact: Mapping[str, bytes] = field(default_factory=dict)
    lessened: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def replaced(self) -> dict[str, bytes]:
        """All models that are others now."""
        return {**self.lessened, **self.exact}


def _given(path: Path, store: Store) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of the configuration's model, and of older ones that the store keeps."""
    own = path.read_bytes()
    yield path.name, own
    seen = {sha256(own).hexdigest()}
    for entry in entries_of(store):
        if entry.why == "given" and entry.name is not None and entry.sha256 not in seen:
            seen.add(entry.sha256)
            yield entry.name, store.document(entry.name) or b""


def forget_in_models(
    path: Path, store: Store, person: Person, sessions: Collection[str], instead: pd.DataFrame | None = None
) -> Forgotten:
    """Let given models forget a person; files stay, for `fraudlog.jobs.forgetting` to replace.

    Parameters
    ----------
    path : Path
        Of the configuration's model.
    store : Store
    person : Person
    sessions : collection of str
        Their sessions.
    instead : DataFrame, optional
        Sessions of theirs as they should have been, to be learnt in place of the wrong ones.
    """
    owners, ids = _owners(person), sorted(sessions)
    n_rows, notes = 0, []
    exact: dict[str, bytes] = {}
    lessened: dict[str, bytes] = {}
    for name, data in _given(path, store):
        detector = Detector.load(BytesIO(data))
        is_own, keeps_rows = name == path.name, True
        try:
            count = detector.forget(*owners, session_ids=ids, instead=instead)
        except ConfigError:
            keeps_rows, count = False, detector.disown(*owners, session_ids=ids, labels=instead is None)
            notes.append(f"{name} can't tell what it learnt of whom: if the person was among them, fit it anew")
        if is_own:
            n_rows = count if keeps_rows else -1
        elif keeps_rows and n_rows >= 0:
            n_rows += count
        if count:
            (exact if keeps_rows else lessened)[sha256(data).hexdigest()] = saved(detector, None, training=keeps_rows)
    return Forgotten(n_rows, tuple(notes), exact, lessened)


def models_know(
    models: Iterable[tuple[str, Detector]], person: Person, sessions: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return what each model knows of a person, with its name; those that know nothing are left out."""
    ids = sorted(sessions)
    known = [{"model": name} | one.known_of(*_owners(person), session_ids=ids) for name, one in models]
    return [one for one in known if any(one[name] for name in ("sessions_learnt", "logins_counted", "labels"))]


def _owners(person: Person) -> list[str]:
    """Return what stands for a person as the owner of a session."""
    return [name for column in _OWNERS for name in sorted(person.pseudonyms.get(column, ()))]
