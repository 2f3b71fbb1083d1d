"""Bar B32 at its small size. In full: `python -m tests.scanning --each 3 --sentences FILE`."""

from __future__ import annotations

import re
import time

import pytest

from memferry.policies import secrets
from memferry.policies.secrets import look, table, triage
from memferry.policies.strings import ELSEWHERE, strings_of
from tests.policies.held import array, doc, lines
from tests.scanning import strangers
from tests.scanning.corpus import Case, made
from tests.scanning.measure import measure, records

SEED = 20260
PHRASE = "promote dizzy orient spread brown matter cinnamon ceiling soft push join stumble"
NUMBERED = " ".join(f"{number}. {word}" for number, word in enumerate(PHRASE.split(), 1))


def test_the_bars_are_kept() -> None:
    figures = measure(list(made(SEED, harmless=30)))
    assert figures.passes, "\n".join(figures.table())


def test_our_own_rules_alone_keep_them_too() -> None:
    figures = measure(list(made(SEED + 1, harmless=10)), engine=False)
    assert figures.passes, "\n".join(figures.table())


@pytest.mark.parametrize(
    ("half", "found", "nothing"),
    [
        (1, 0.93, 0.005),
        (2, 0.93, 0.005),
        (strangers.LATER, 0.9, 0.01),
        (4, 0.93, 0.005),
        (5, 0.89, 0.005),
        (strangers.LAST, 0.84, 0.03),
        (7, 0.87, 0.03),
        (8, 0.86, 0.03),
        (strangers.PLAIN, 0.92, 0.005),
    ],
)
def test_what_is_found_of_strangers_is_found_still(half: int, found: float, nothing: float) -> None:
    """Not what to expect of kinds that are unknown: these have been looked at."""
    figures = measure(list(strangers.made(half, SEED, each=2, harmless=2)))
    assert figures.share("unseen") >= found, "\n".join(figures.table())
    assert figures.share("harmless") <= nothing, "\n".join(figures.table())


@pytest.mark.parametrize("text", [PHRASE, f"note to self: {PHRASE}.", PHRASE.replace(" ", "\n"), NUMBERED])
def test_a_seed_phrase_is_found_without_a_word_before_it(text: str) -> None:
    assert "seed-phrase" in {one.rule for one in secrets.found(text)}
    assert list(secrets.search(lines({"text": text}))) == [0]


def test_a_secret_ends_where_its_line_does() -> None:
    """A decision about it survives edits of the next line; one that goes on there is found whole."""
    token = "ghp_" + "kQ7wZ2mX9vB4nC8sT1jH" * 2
    assert [text_of(f"it is {token}\n{rest}") for rest in ("The restart", "keep it", "")] == [[token]] * 3
    assert [text_of(f"{PHRASE}\n{rest}") for rest in ("keep it in the drawer", "")] == [[PHRASE]] * 2
    broken = f"{token}\nR5yL3dF6gP0u"
    assert any(one.startswith(broken) for one in text_of(f"it is {broken}\nThe restart"))


def text_of(text: str) -> list[str]:
    return [text[one.start : one.end] for one in secrets.found(text)]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(PHRASE.split()[:11]),
        PHRASE.replace("matter", "matters"),
        " ".join(sorted(PHRASE.split())),  # as in the list itself
        "mix flour sugar butter eggs milk vanilla salt then bake about forty minutes until golden brown",
    ],
)
def test_a_row_of_other_words_is_no_seed_phrase(text: str) -> None:
    assert secrets.found(text) == []


def test_triage_passes_on_whatever_a_look_finds() -> None:
    cases = [case for case in made(SEED, harmless=1) if case.group != "harmless"]
    cases += [case for half in strangers.EVERY for case in strangers.made(half, SEED, each=1)]
    found = records(cases)
    suspicious = set(triage.suspicious(found))
    for number, record in enumerate(found):
        if number not in suspicious:
            texts = strings_of(record)
            assert [look.look(one.value, str(one.path[-1])) for one in texts] == [[] for _ in texts]


def test_a_hint_occurs_in_whatever_its_format_matches() -> None:
    """Of what the corpus has: otherwise a format would be passed over in silence."""
    texts = [case.value for case in made(SEED, harmless=1) if isinstance(case.value, str) and case.group == "fixed"]
    for form in table.FORMATS:
        pattern, hint = re.compile(_for_python(form.pattern)), re.compile(_for_python(form.hint))
        matches = [match[0] for text in texts for match in pattern.finditer(text)]
        assert all(hint.search(match) for match in matches), form


def _for_python(pattern: str) -> str:
    """RE2 takes flags anywhere, Python at the start alone."""
    return f"(?i){pattern.replace('(?i)', '')}" if "(?i)" in pattern else pattern


MEGABYTE = 1 << 20
HOSTILE = {
    "one run": "a1B" * 349525,
    "telling words": "password: " * 104857,
    "assignments": "key=" * 262144,
    "openings": "<[{('\"" * 174762,
    "blocks": "-----BEGIN PRIVATE KEY-----" * 38836,
    "escapes": "\\u0041" * 174762,
    "percent": "%41" * 349525,
    "invisible": "a\u200b" * 262144,
    "look-alikes": "а1b" * 262144,
    "encoded": "QUtJQUlPU0ZPRE5ON0VYQU1QTEU= " * 36157,
    "hex": "41424344454647484950 " * 49932,
    "logins": "user a:" * 149796,
    "addresses": "://a:b@" * 149796,
    "phrases": f"{PHRASE} of " * 11650,
    "words of a phrase": "abandon ability " * 65536,
    "codes": "the code for the door is " * 41943,
    "manifests": "kind: Secret\ndata:\n" * 52428,
    "commands": "echo Tiger4821 | " * 61680,
    "names and passwords": "login: ann / " * 80659,
    "commands that log in": "curl -u ann:${PW} https://api.example.net/v1/things?page=1\n" * 17476,
    "spaces": "password x1" + " " * MEGABYTE,
    "lines": "password x1" + "\n" * MEGABYTE,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_megabyte_takes_no_longer_than_it_may(name: str) -> None:
    """Ten times what it takes on a machine that does nothing else; a pattern that backtracks takes minutes."""
    record = doc(HOSTILE[name])
    secrets.search([record])  # what is built once
    started = time.process_time()
    secrets.search([record])
    assert time.process_time() - started < 1.0


def test_what_is_too_large_is_held() -> None:
    key = "password: sunshine4821"
    assert [one.rule for one in secrets.search([doc("We talked. " * (40 << 10) + key)])[0]] == ["password"]
    assert [one.rule for one in secrets.search([doc("We talked. " * (50 << 10) + key)])[0]] == ["too-large"]
    assert not secrets.search([doc("We talked. " * (50 << 10))])
    mail = "ann@example.net"
    assert [one.rule for one in secrets.search([doc("We talked. " * (50 << 10) + mail)], personal=("email",))[0]] == [
        "too-large"
    ]
    busy = secrets.search([doc("token: a1 " * 20000)])[0]
    assert "too-large" in [one.rule for one in busy]


def test_a_long_text_of_links_and_hashes_is_searched() -> None:
    """A change log, a page of an API's description: places that are dismissed at a glance hardly count."""
    change = "- [`{0:08x}`](https://github.com/example/project/commit/{0:040x}) - **doc**: say what it does #{0}\n"
    log = "".join(change.format(number * 2654435761) for number in range(2000))
    assert not secrets.search([doc(f"{log}password: see the vault\n")])
    assert [one.rule for one in secrets.search([doc(f"{log}password: sunshine4821\n")])[0]] == ["password"]


def test_even_so_they_are_counted() -> None:
    found = secrets.search([doc("password: see the vault " + "settings-of-the-old-queue " * 18_000)])
    assert [one.rule for one in found[0]] == ["too-large"]


def test_what_the_engine_cannot_look_at_in_time_is_held_whatever_else_is_found() -> None:
    commands = "curl -u ann:${PW} https://api.example.net\n" * 300
    rules = {
        one.rule for one in secrets.search([doc(f"{commands}curl -u ann:Tiger4821x! https://api.example.net\n")])[0]
    }
    assert rules == {"login", "password", "too-large"}


def test_many_commands_that_log_in_are_searched_a_few_at_a_time() -> None:
    """The engine tries each with each of those that it is asked about at once."""
    commands = lines(*({"text": f"curl -u ann:sunshine https://api.example.net/{n}"} for n in range(1000)))
    started = time.process_time()
    found = secrets.search(commands)
    assert time.process_time() - started < 1.0
    assert [one.rule for number in range(1000) for one in found[number]] == ["curl-auth-user"] * 1000


def test_records_are_searched_alike_alone_and_in_a_batch() -> None:
    cases = [case for case in made(SEED, harmless=4) if hash_of(case) % 7 == 0]
    found = records(cases)
    together = secrets.search(found)
    alone = {number: some[0] for number, one in enumerate(found) if (some := secrets.search([one]))}
    assert {n: sorted(some) for n, some in together.items()} == {n: sorted(some) for n, some in alone.items()}


def hash_of(case: Case) -> int:
    return sum(map(ord, str(case.value)))


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"args": ["-y", "pg", "--password", "Tiger_4821"]}, True),
        ({"mcpServers": {"pg": {"command": "npx", "args": ["--api-key", "q8w7e6r5t4y3u2i1"]}}}, True),
        ({"args": ["--pin", "47112"]}, True),
        ({"password": {"value": "Tiger_4821"}}, True),
        ({"credentials": {"password": {"current": "Tiger_4821"}}}, True),
        ({"secret": {"stringValue": "Tiger_4821"}}, True),
        ({"args": ["--password", "--verbose", "--token-file", "/run/secrets/token", "--max-tokens", "4096"]}, False),
        ({"args": ["--password", "$DB_PASSWORD", "--api-key", "<your-key>", "--host", "db-7.internal"]}, False),
        ({"password": {"type": "string", "default": "", "description": "of the database", "minLength": 12}}, False),
        ({"token": {"value": None, "current": "none", "default": "changeme"}}, False),
    ],
)
def test_a_value_behind_an_option_or_below_a_name_is_found(fields: dict[str, object], found: bool) -> None:
    assert bool(secrets.search(lines(fields))) is found


def test_personal_data_is_found_where_it_is_asked_for() -> None:
    texts = {
        "email": ("write to ann.lee@harbor-mail.org today", "ann.lee@harbor-mail.org"),
        "phone": ("call +49 170 5550199 before noon", "+49 170 5550199"),
        "card": ("card 4539 1488 0343 6467 on file", "4539 1488 0343 6467"),
        "iban": ("IBAN DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        "cn-id": ("身份证 11010519491231002X 已登记", "11010519491231002X"),
    }
    found = lines(*[{"text": text} for text, _ in texts.values()])
    assert secrets.search(found, secrets=False) == {}
    some = secrets.search(found, secrets=False, personal=tuple(texts))
    said = {n: {(one.rule, _said(found[n], one)) for one in findings} for n, findings in some.items()}
    assert said == {n: {(kind, what)} for n, (kind, (_, what)) in enumerate(texts.items())}


def test_personal_data_is_found_around_a_record_and_in_the_name_of_its_file() -> None:
    records = [
        *array('{"customer": "ann.lee@harbor-mail.org", "entries": [{"id": "a", "text": "called again"}]}'),
        doc("called again", "mail/ann.lee@harbor-mail.org.md"),
        doc("called again", "mail/20261121134459.md"),
    ]
    found = secrets.search(records, secrets=False, personal=("email", "card"))
    assert {n: {(one.rule, one.text) for one in some} for n, some in found.items()} == {
        0: {("email", ELSEWHERE)},
        1: {("email", ELSEWHERE)},
    }


def _said(record: object, one: object) -> str:
    assert one.text != ELSEWHERE  # type: ignore[attr-defined]
    return strings_of(record)[one.text].value[one.start : one.end]  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "git@github.com:ann/x.git and noreply@harbor-mail.org"),
        ("email", "user@example.com"),
        ("card", "card 4539 1488 0343 6468"),
        ("card", "run 20260101123456789 of 17"),
        ("cn-id", "id 110105194912310021"),
        ("cn-id", "id 110105194913310029"),
        ("iban", "DE89 3704 0044 0532 0130 01"),
        ("phone", "version 1.2.3.4.5 of 2026-01-01"),
    ],
)
def test_what_its_check_digits_deny_is_no_personal_data(kind: str, text: str) -> None:
    assert secrets.search(lines({"text": text}), secrets=False, personal=(kind,)) == {}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("name,user,password\nGitHub,ann,Tiger_4821\nNAS,admin,Harbor_5512", "Harbor_5512"),
        ("| host | 密码 |\n|---|---|\n| db1 | Winter_7021 |", "Winter_7021"),
        ("<tr><th>User</th><th>Password</th></tr><tr><td>ann</td><td>M4pl3280</td></tr>", "M4pl3280"),
        ("The password is on the next line\nharbor875184", "harbor875184"),
        ("the p a s s w o r d : Tiger4821!", "Tiger4821"),
    ],
)
def test_the_secret_itself_is_what_is_found(text: str, secret: str) -> None:
    """So that it alone is redacted, and a decision is about it."""
    assert secret in {said.rstrip("!") for said in text_of(text)}


@pytest.mark.parametrize(
    "text",
    [
        "| test | pass |\n|---|---|\n| login | 12/12 |\n| sync2 | 9/10 |",
        "server runs Debian12 / Ubuntu2204",
        "Cache restored from key: v1-deps-" + "0123456789abcdef" * 4,
        "VAPID_PUBLIC_KEY=BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U",
        "the password page is page 12 of Handbook2026",
        "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw==",
    ],
)
def test_what_only_looks_like_one_is_let_go(text: str) -> None:
    assert secrets.found(text) == []
