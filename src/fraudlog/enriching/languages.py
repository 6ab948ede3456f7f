"""What an Accept-Language header, or a device's language setting, says.

References
----------
.. [1] RFC 9110, section 12.5.4 (Accept-Language) and 12.4.2 (quality values); RFC 4647 (language ranges).
.. [2] RFC 5646 / BCP 47 (language tags), read by `langcodes`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import langcodes
from langcodes.tag_parser import LanguageTagError

__all__ = ["LANGUAGE_LIMIT", "LANGUAGE_SHAPES", "LanguageFacts", "read_language"]

LANGUAGE_LIMIT: Final = 512
"""Characters that are looked at; a browser with twenty languages needs 150."""

LANGUAGE_SHAPES: Final[dict[str, str]] = {
    "setting": "one tag without a quality value: a device's setting, or a simple client",
    "unweighted": "several tags, none with a quality value",
    "falling": "quality values fall from tag to tag, as browsers write them",
    "tied": "some neighbours are equally good",
    "rising": "a later tag is better than an earlier one, which no browser writes",
    "any": "nothing but a star",
}
"""The vocabulary of `language_shape`."""

_ELEMENT: Final = re.compile(
    r"[ \t]*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?[ \t]*$"
)
_LOCALE: Final = re.compile(r"([A-Za-z]{2,3})(?:[_-]([A-Za-z]{4}))?(?:[_-]([A-Za-z]{2}|\d{3}))?(?:\.[\w-]+)?(?:@\w+)?$")
_NO_LOCALE: Final = frozenset({"c", "posix", "und", "root"})


class LanguageFacts(NamedTuple):
    """What one header says; None where it says nothing.

    Attributes
    ----------
    language_primary : str or None
        Language the client likes best, as ISO 639 (``en``).
    language_region : str or None
        Region of that tag, as ISO 3166-1 or UN M.49 (``US``, ``419``); never guessed.
    language_count : int or None
        Number of languages it lists, without the star.
    language_shape : str or None
        One of `LANGUAGE_SHAPES`.
    is_language_malformed : bool or None
        Whether the value breaks the grammar of RFC 9110 (a device's locale, ``en_US.UTF-8``, does not).
    is_language_unknown : bool or None
        Whether the tag liked best is not in BCP 47's registry.
    """

    language_primary: str | None = None
    language_region: str | None = None
    language_count: int | None = None
    language_shape: str | None = None
    is_language_malformed: bool | None = None
    is_language_unknown: bool | None = None


NOTHING: Final = LanguageFacts()


@lru_cache(maxsize=4096)
def _read_tag(tag: str) -> tuple[str | None, str | None, bool]:
    """Return language, region, and whether the registry knows the tag."""
    try:
        standard = langcodes.Language.get(tag)
        return standard.language, standard.territory, standard.is_valid()
    except LanguageTagError:
        return None, None, False


def read_language(value: str | None) -> LanguageFacts:
    """Return what `value` says about the client's languages.

    Parameters
    ----------
    value : str or None
        Accept-Language header (``en-US,en;q=0.9``), a device's setting (``en_US.UTF-8``), or a list of either
        (``["en-US","en"]``).

    Returns
    -------
    LanguageFacts
        All None for an absent or blank value.

    Examples
    --------
    >>> read_language("fr-CH, fr;q=0.9, en;q=0.8")[:4]
    ('fr', 'CH', 3, 'falling')
    >>> read_language("de_DE.UTF-8").language_region
    'DE'
    """
    text = (value or "")[:LANGUAGE_LIMIT].strip()
    if not text:
        return NOTHING
    if text.startswith("[") and text.endswith("]"):
        text = re.sub(r"[\[\]\"']", "", text)
    if text.partition(".")[0].lower() in _NO_LOCALE:
        return LanguageFacts(language_count=0, language_shape="setting", is_language_malformed=False)
    locale = _LOCALE.match(text)
    if locale:
        return _from_locale(locale)
    # an element may be empty (RFC 9110, 5.6.1): a recipient ignores it
    elements = [_ELEMENT.match(part) for part in text.split(",") if part.strip(" \t")]
    ranges = [(element[1], float(element[2] or 1), element[2] is not None) for element in elements if element]
    is_malformed = len(ranges) < len(elements) or not ranges
    return _from_ranges(ranges, is_malformed=is_malformed)


def _from_locale(locale: re.Match[str]) -> LanguageFacts:
    language, script, region = locale.groups()
    primary, territory, is_valid = _read_tag("-".join(part for part in (language, script, region) if part))
    return LanguageFacts(
        language_primary=primary if is_valid else None,
        language_region=territory if is_valid else None,
        language_count=1,
        language_shape="setting",
        is_language_malformed=False,
        is_language_unknown=not is_valid,
    )


def _from_ranges(ranges: list[tuple[str, float, bool]], *, is_malformed: bool) -> LanguageFacts:
    wanted = [(tag, quality) for tag, quality, _ in ranges if tag != "*" and quality > 0]
    if not wanted:
        shape = "any" if ranges else None
        return LanguageFacts(language_count=0, language_shape=shape, is_language_malformed=is_malformed)
    best = max(wanted, key=lambda entry: entry[1])[0]
    primary, territory, is_valid = _read_tag(best)
    return LanguageFacts(
        language_primary=primary if is_valid else None,
        language_region=territory if is_valid else None,
        language_count=len(wanted),
        language_shape=_shape([quality for _, quality, _ in ranges], any(given for *_, given in ranges)),
        is_language_malformed=is_malformed,
        is_language_unknown=not is_valid,
    )


def _shape(qualities: list[float], has_weights: bool) -> str:  # noqa: FBT001 -- private, read where it is called
    if not has_weights:
        return "setting" if len(qualities) == 1 else "unweighted"
    steps = [later - earlier for earlier, later in pairwise(qualities)]
    if any(step > 0 for step in steps):
        return "rising"
    return "tied" if any(step == 0 for step in steps) else "falling"
