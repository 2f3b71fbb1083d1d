"""Texts that plainly hold no secret, told without loading what looks for secrets, which takes far longer than `learn`.

It only ever spares a look: whatever is sent is looked at by `secrets` all the same. Ordinary words and a few short
numbers are harmless, unless a word among them announces a secret. `tests/policies/test_harmless.py` holds the words
against those that `secrets` knows.
"""

from __future__ import annotations

import re

_MOST_DIGITS = 12
_PART = r"(?:[A-Z]?[a-z]+|[A-Z]{1,6}s?|\d{1,4})"
_WORD = re.compile(rf"[(\[\"']*{_PART}(?:[-/.,:'_]{_PART}){{0,6}}[)\]\"'.,;:!?%]*|[-+*=<>&|/#]{{1,2}}|\u2014")
_MIXED = re.compile(r"[A-Za-z][-_/.]?\d[-_/.]?[A-Za-z]|\d[-_/.]?[A-Za-z][-_/.]?\d")
_DIGIT = re.compile(r"\d")
_VALUE = re.compile(r"[\d:=@\"`|>#]|(?<![A-Za-z])'")

_RUN = re.compile(r"[a-z]+")


class _Words:
    """Found without a pattern: to compile one of so many words takes as long as all else that `learn` loads. `parts`
    may stand inside other words, `alone` may not."""

    def __init__(self, parts: str, alone: str) -> None:
        self._parts = parts.split("|")
        self._alone = frozenset(alone.split("|"))

    def stand_in(self, small: str) -> bool:
        """`small`: in small letters."""
        return any(part in small for part in self._parts) or not self._alone.isdisjoint(_RUN.findall(small))


_MADE_UP = _Words(
    "lozinka|parool|kata sandi|wallet|metamask|keypad|digicode|psk|wpa|"
    "pass|pwd|psw|mdp|kennwort|losungswort|contrase|senha|palavra|parola|wachtwoord|hasla|heslo|losenord|salasana|"
    "adgangskode|sifre|logn|login|logon|logion|creds|clave|geslo|phrase|mnemonic|backup code|recovery",
    alone="pw",
)
"""Announce what a human made up: any word may be it."""
_DRAWN = _Words(
    "secret|token|key|credential|connection string|connectionstring|auth|bearer|webhook|service account|account key|"
    "geheim|zugangs|schluessel|jeton|identifiants|clef|credencial|llave|ficha|segredo|chave|segreto|chiave|sleutel|klucz|"
    "jwt|salt|seed|cookie|session|signature|csrf|dsn|hmac|otp|access|code|codice|combination|alarm|lock|cvv|cvc|puk",
    alone="pk|pat|sid|sig|sas|pin|tan",
)
"""Announce what a machine drew, or digits: no word alone."""


def is_harmless(text: str) -> bool:
    """Whether nothing in `text` can be a secret."""
    if not all(map(_WORD.fullmatch, text.split())) or len(_DIGIT.findall(text)) > _MOST_DIGITS or _MIXED.search(text):
        return False
    small = text.lower()
    return not _MADE_UP.stand_in(small) and not (_DRAWN.stand_in(small) and _VALUE.search(text))
