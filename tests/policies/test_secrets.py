"""Secrets in records: what is found, and where."""

from __future__ import annotations

import pytest

from memferry.policies import secrets
from memferry.policies.findings import Finding
from memferry.policies.secrets import records
from memferry.policies.strings import ELSEWHERE, strings_of
from tests.policies.held import array, doc, lines

TOKEN = "ghp_" + "a1B2c3D4e5" * 3 + "F6g7H8"


def found(text: str) -> list[str]:
    """What is found in a text, as it stands there."""
    return [text[one.start : one.end] for one in secrets.found(text)]


@pytest.mark.parametrize("rows", [10, 700, 9000])
def test_a_table_is_searched_to_its_end_or_held_as_a_whole(rows: int) -> None:
    table = "site,password\n" + "a.example,n/a\n" * rows + "z.example,Tiger_4821x\n"
    assert found(table) == ["Tiger_4821x" if rows < 4000 else table]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("the staging password is hunter2, ask Ann", "hunter2"),
        ("password: Tiger!4821", "Tiger!4821"),
        ("Das Passwort lautet Regen+Schirm7.", "Regen+Schirm7"),
        ("le mot de passe est Soleil_2031", "Soleil_2031"),
        ("la contraseña es Gato.Negro99", "Gato.Negro99"),
        ("пароль: Ветер_5512", "Ветер_5512"),
        ("数据库密码是Harbor#2291。", "Harbor#2291"),
        ("パスワードは「Sakura-7781」です", "Sakura-7781"),
        ("hunter2! is the password", "hunter2!"),
        ("db_password = 'sunshine'", "sunshine"),
        ("the alarm code is 9471", "9471"),
        ("git clone https://ann:s3cr3tw0rd@git.example.org/x.git", "https://ann:s3cr3tw0rd@git.example.org/x.git"),
        ("curl -H 'Authorization: Bearer 3f9a8b7c6d5e4f3a2b1c'", "Bearer 3f9a8b7c6d5e4f3a2b1c"),
        (f"it is {TOKEN}", TOKEN),
    ],
)
def test_a_secret_is_found_where_it_stands(text: str, secret: str) -> None:
    assert secret in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "the password field is required, rotate your token monthly",
        "password: <your-password>, token: ${API_TOKEN}, api_key = os.environ['API_KEY']",
        "set API_KEY=xxxxxxxxxxxxxxxx in .env",
        "max_tokens: 4096, token_count=120344, prompt tokens: 2048",
        "primary key user_id_42 and cache key user:42:profile",
        "fixed in commit 9f2c1a7be05d4c38aa61f0e2b7d9c4458e13f6ab",
        "see entry 5f0c9a3e-1b7d-4e2f-9a6c-0d8e7f6a5b4c for details",
        "password: [redacted:password:7f3a9c]",
        "we use gpt-4o-mini and claude-3-5-sonnet-20241022 as models",
    ],
)
def test_what_only_speaks_of_secrets_is_none(text: str) -> None:
    assert found(text) == []


def test_a_field_tells_by_its_name() -> None:
    records = lines(
        {"id": "a", "text": "sunshine"},
        {"id": "b", "db_password": "sunshine"},
        {"id": "c", "env": [{"name": "API_TOKEN", "value": "ab12cd34ef56gh78"}]},
        {"id": "d", "pin": 4821},
    )
    findings = secrets.search(records)
    said = {
        number: [strings_of(records[number])[one.text].value[one.start : one.end] for one in some]
        for number, some in findings.items()
    }
    assert said == {1: ["sunshine"], 2: ["ab12cd34ef56gh78"], 3: ["4821"]}


def test_what_surrounds_a_record_and_the_name_of_its_file_count_too() -> None:
    records = [*array('{"api_key":"ab12cd34ef56gh78","entries":[{"id":"a"}]}'), doc("nothing", f"notes/{TOKEN}.md")]
    assert {number: [one.text for one in some] for number, some in secrets.search(records).items()} == {
        0: [ELSEWHERE],
        1: [ELSEWHERE],
    }


def test_a_folder_and_what_lies_in_it_are_no_name_and_password() -> None:
    assert found("admin/Spring!2024 opens it") == ["admin/Spring!2024"]
    assert secrets.search([doc("nothing", "admin/Spring!2024")]) == {}
    assert not records._suspicious([doc("nothing", "notes/000/note-000005.md")]), "it would be searched in full"


def test_the_engine_is_asked_about_what_our_own_rules_leave() -> None:
    text = "curl -u 'x' https://api.example.com?adobe_client_id=4f3c2b1a0f9e8d7c6b5a4f3e2d1c0b9a"
    assert [one.rule for one in secrets.search([doc(text)])[0]]


def test_a_disguise_is_found_as_the_stretch_that_hides() -> None:
    text = f"api key {TOKEN[:9]}\u200b{TOKEN[9:]} ok"
    assert secrets.found(text) == [Finding(0, "github-token", 8, 8 + len(TOKEN) + 1)]
