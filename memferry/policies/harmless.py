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

_MADE_UP = re.compile(
    r"lozinka|parool|kata sandi|wallet|metamask|keypad|digicode|psk|wpa|"
    r"pass|pwd|psw|mdp|kennwort|losungswort|contrase|senha|palavra|parola|wachtwoord|hasla|heslo|losenord|salasana|"
    r"adgangskode|sifre|logi?o?n|creds|clave|geslo|phrase|mnemonic|backup code|recovery|(?<![a-z])pw(?![a-z])"
)
"""Announce what a human made up: any word may be it."""
_DRAWN = re.compile(
    r"secret|token|key|credential|connection ?string|auth|bearer|webhook|service account|account key|geheim|zugangs|"
    r"schluessel|jeton|identifiants|clef|credencial|llave|ficha|segredo|chave|segreto|chiave|sleutel|klucz|jwt|salt|"
    r"seed|cookie|session|signature|csrf|dsn|hmac|otp|access|code|combination|alarm|screen lock|lock|cvv|cvc|"
    r"puk|codice|(?<![a-z])(?:pk|pat|sid|sig|sas|pin|tan)(?![a-z])"
)
"""Announce what a machine drew, or digits: no word alone."""


def is_harmless(text: str) -> bool:
    """Whether nothing in `text` can be a secret."""
    if not all(map(_WORD.fullmatch, text.split())) or len(_DIGIT.findall(text)) > _MOST_DIGITS or _MIXED.search(text):
        return False
    small = text.lower()
    return not _MADE_UP.search(small) and not (_DRAWN.search(small) and _VALUE.search(text))
