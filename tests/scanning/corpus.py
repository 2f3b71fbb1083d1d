"""Texts with secrets in them, and texts that only look so. Every line is made at random from a seed."""

from __future__ import annotations

import base64
import json
import random
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tests.scanning.kinds import FIXED, FREE, HELD_OUT, OTHERS, Make, raw, run

_HEX = "0123456789abcdef"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Case(NamedTuple):
    """`group`: fixed, free, others, held-out, disguised or harmless. `value`: the text, or the fields of a record."""

    group: str
    kind: str
    value: str | dict[str, object]


ANYWHERE = (
    "{s}", "Noted: {s}", "the value was {s}, keep it somewhere", "```\n{s}\n```", "- {s}", "run it with {s} and see",
    '{{"result": "{s}"}}', "got {s} back from the server",
)  # fmt: skip
"""Nothing tells: a format must be known by itself."""

BESIDE: Mapping[str, tuple[str, ...]] = {
    "en": (
        "The API key is {s}", "use this access token: {s}", "export SERVICE_TOKEN={s}", "client_secret = '{s}'",
        "Ann gave me the secret {s} for staging", "auth token -> {s}", "[creds]\nsecret_key={s}\n", "X-Api-Key: {s}",
        '"{s}" is the new deploy key', "- **API key:** `{s}`", "| prod | token | {s} |", "--token {s}",
        "curl -H 'Authorization: Bearer {s}' https://api.example.com/v2",
    ),
    "zh": ("访问令牌是 {s}", "密钥：{s}", "记住 API key 为 {s}"),
    "de": ("Der Schlüssel lautet {s}", "Zugangsdaten: {s}"),
    "fr": ("le jeton est {s}", "clé : {s}"),
    "es": ("la clave secreta es {s}", "mi token: {s}"),
    "ja": ("トークンは {s} です", "秘密鍵：{s}"),
    "ru": ("ключ: {s}", "токен это {s}"),
}  # fmt: skip

PASSWORDS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "The staging password is {s}", "password: {s}", "DB_PASSWORD={s}", 'passwd = "{s}"', "my new passphrase is {s}",
        "log in as ann with password {s}", "user: ann\npass: {s}", "wifi password → {s}", "pwd={s}; server=db1",
        "I changed the root password to {s} today", "the password for the staging box is {s}", "`{s}` is the password",
        "sshpass -p {s} ssh ann@host", "machine x login ann password {s}",
    ),
    "zh": ("密码是{s}", "登录密码：{s}", "数据库口令为 {s}，不要外传", "wifi 密码 {s}"),
    "de": ("Das Passwort lautet {s}", "Kennwort: {s}"),
    "fr": ("le mot de passe est {s}", "mot de passe : {s}"),
    "es": ("la contraseña es {s}", "contraseña: {s}"),
    "ja": ("パスワードは{s}です", "パスワード：{s}"),
    "ru": ("пароль: {s}", "пароль от сервера это {s}"),
}  # fmt: skip

FIELDS: tuple[Callable[[str], dict[str, object]], ...] = (
    lambda s: {"api_key": s},
    lambda s: {"config": {"db": {"password": s}}},
    lambda s: {"env": [{"name": "SERVICE_SECRET", "value": s}]},
    lambda s: {"headers": {"Authorization": f"Bearer {s}"}},
    lambda s: {"credentials": {"accessToken": s, "user": "ann"}},
)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def hexed(text: str) -> str:
    return "".join(f"\\x{ord(char):02x}" for char in text)


def quoted(text: str) -> str:
    return "".join(f"%{ord(char):02X}" for char in text)


def _broken(text: str) -> str:
    at = len(text) // 2
    return f"{text[:at]}\n{text[at:]}"


def _concatenated(text: str) -> str:
    at = len(text) // 2
    return f'"{text[:at]}" + "{text[at:]}"'


def _wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _lookalike(text: str) -> str:
    return text.translate(str.maketrans("aeopcAEOP", "аеорсАЕОР"))


DISGUISES: Mapping[str, Callable[[str], str]] = {
    "broken": _broken,
    "quoted-break": lambda text: _broken(text).replace("\n", "\n> "),
    "concatenated": _concatenated,
    "unicode-escapes": escaped,
    "hex-escapes": hexed,
    "percent": quoted,
    "html-entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64-twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64-url": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode(),
    "hex": lambda text: text.encode().hex(),
    "zero-width": lambda text: "\u200b".join(text[at : at + 5] for at in range(0, len(text), 5)),
    "soft-hyphen": lambda text: f"{text[:7]}\u00ad{text[7:]}",
    "full-width": _wide,
    "look-alike": _lookalike,
    "one-line": lambda text: text.replace("\n", "\\n"),
}

DISGUISED_KINDS = (
    "aws-temporary-key", "github-app", "groq", "slack-app", "google-oauth", "vault", "databricks", "jwt", "stripe-webhook",
    "mysql-url", "pem-rsa", "linear", "notion", "digitalocean",
)  # fmt: skip


def _secrets(group: str, kinds: Mapping[str, Make], dice: random.Random, each: int) -> Iterator[Case]:
    for kind, make in kinds.items():
        templates = [text for texts in _templates(kind).values() for text in texts]
        if group == "fixed":
            templates += ANYWHERE
        for text in templates:
            yield from (Case(group, kind, text.format(s=make(dice))) for _ in range(each))
        if kind != "wifi" and "password" not in kind:
            yield from (Case(group, kind, fields(make(dice))) for fields in FIELDS)


def _templates(kind: str) -> Mapping[str, tuple[str, ...]]:
    return PASSWORDS if kind in ("wifi", "router-pin") or "password" in kind else BESIDE


def _disguised(dice: random.Random, each: int) -> Iterator[Case]:
    for name, hide in DISGUISES.items():
        for kind in DISGUISED_KINDS:
            for text in ("my api key is {s} ok", "{s}", "export TOKEN={s}")[: 1 + each]:
                yield Case("disguised", f"{name}", text.format(s=hide(FIXED[kind](dice))))


def _id(dice: random.Random) -> str:
    return str(uuid.UUID(int=dice.getrandbits(128)))


def _words(dice: random.Random, count: int) -> str:
    words = (
        "we agreed to keep the retry queue durable and small because the last release broke login so tests run before"
        " every commit and the user prefers dark mode with short answers in the morning meeting notes token key secret"
        " password session vault access credential rotate monthly"
    ).split()
    return " ".join(dice.choices(words, k=count))


HARMLESS: Mapping[str, Callable[[random.Random], str | dict[str, object]]] = {
    "prose": lambda dice: _words(dice, 24),
    "uuid": lambda dice: f"see entry {_id(dice)} and its parent {_id(dice)}",
    "id-field": lambda dice: {"id": _id(dice), "parentUuid": _id(dice), "sessionId": _id(dice), "text": "fine"},
    "ulid": lambda dice: f"record 01J{run(dice, 23, '0123456789ABCDEFGHJKMNPQRSTVWXYZ')} was merged",
    "tool-id": lambda dice: {"type": "tool_use", "id": f"toolu_{run(dice, 24)}", "requestId": f"req_{run(dice, 24)}"},
    "sha1": lambda dice: f"fixed in commit {run(dice, 40, _HEX)}",
    "sha256": lambda dice: f"digest sha256:{run(dice, 64, _HEX)} of the image",
    "hash-field": lambda dice: {"hash": run(dice, 64, _HEX), "checksum": run(dice, 32, _HEX), "text": _words(dice, 9)},
    "integrity": lambda dice: f'"integrity": "sha512-{base64.b64encode(raw(dice, 64)).decode()}"',
    "path": lambda dice: f"/home/ann/project_{run(dice, 6)}/src/module_{run(dice, 5)}/test_file.py line {dice.randrange(99)}",
    "url": lambda dice: f"https://example.com/docs/{run(dice, 22)}?page={dice.randrange(99)}&ref={run(dice, 6)}",
    "image": lambda dice: f"![x](data:image/png;base64,iVBORw0KGgo{base64.b64encode(raw(dice, 600)).decode()})",
    "base64-lines": lambda dice: "\n".join(base64.b64encode(raw(dice, 57)).decode() for _ in range(8)),
    "placeholder": lambda dice: dice.choice([
        "api_key: <your-api-key>", "export TOKEN=$MY_TOKEN", "password: ${DB_PASSWORD}", "SECRET_KEY=changeme",
        "token = os.environ['API_TOKEN']", "api_key: xxxxxxxxxxxxxxxxxxxx", "password=********", "apiKey: {{ api_key }}",
        "key: env:OPENAI_API_KEY", 'password = getpass.getpass("Password: ")', "Authorization: Bearer <token>",
        "postgres://user:password@localhost/db", "https://$USER:$TOKEN@github.com/a/b", "sk-ant-your-key-here",
        "token: YOUR_GITHUB_TOKEN", "AKIAIOSFODNN7EXAMPLE is the example from the docs", "secret: [redacted:key:1a2b3c]",
    ]),
    "talk": lambda dice: dice.choice([
        "the password field is required and must be masked", "rotate your token monthly and never log it",
        "the api key is stored in the keychain, not in the repository", "passwords need at least 12 characters",
        "he forgot his password again and reset it", "the primary key is user_id, the cache key is user:42:profile",
        "max_tokens: 4096, temperature 0.7", "token usage was 120344 in 12 requests", "the session key expires after 30 minutes",
        "密码必须至少8位", "请不要把密钥写进代码", "das Passwort wird jeden Monat geändert", "le mot de passe est obligatoire",
        "la contraseña es obligatoria", "パスワードを忘れました", "пароль хранится в менеджере паролей",
        "the secret to good bread is time", "she is the key person for release 2024.11", "auth: OAuth2 with PKCE, RFC 7636",
        "token bucket of 100 requests per 60s", "use the Bearer scheme from RFC 6750", "Basic authentication is off",
        "the key insight: 3 of 10 runs failed", "pin the dependency to 2.31.0", "error code 4012, status code 404",
        "key = sorted(items, key=lambda x: x[1])", "for key, value in config.items():", "def test_token_v2_refresh():",
    ]),
    "code": lambda dice: dice.choice([
        "const token = await getToken(user.id)", "self.api_key = api_key or settings.API_KEY", "secret_name: prod/db/main",
        "kubectl get secret db-credentials -o yaml", "password_hash = hash_password(password)", "Key('user_id').eq(42)",
        "tokenizer = AutoTokenizer.from_pretrained('bert-base-uncased')", "key_length=2048, algorithm='RS256'",
        "aws_secret_access_key = get_secret('aws/prod')", "PASSWORD_MIN_LENGTH = 12", "localStorage.getItem('accessToken')",
    ]),
    "model": lambda dice: f"claude-3-5-sonnet-20241022 and gpt-4o-mini-2024-07-18 in us-east-{dice.randrange(1, 4)}a",
    "public-key": lambda dice: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{run(dice, 44)} ann@host",
    "times": lambda dice: {"ts": "2026-01-01T00:00:00Z", "updated_at": f"2026-01-{dice.randrange(10, 28)}T10:00:00.123456Z"},
    "ledger": lambda dice: {
        "id": f"evt_{dice.randrange(10**9):09d}_{run(dice, 16, _HEX)}", "type": "decision", "summary": _words(dice, 30),
        "evidence": [f"evt_{run(dice, 16, _HEX)}"], "confidence": 0.82, "hash": run(dice, 64, _HEX),
    },
}  # fmt: skip


def made(seed: int, *, each: int = 1, harmless: int = 100) -> Iterator[Case]:
    """`each`: of a kind in one context; `harmless`: of each sort."""
    dice = random.Random(seed)
    yield from _secrets("fixed", FIXED, dice, each)
    yield from _secrets("free", FREE, dice, each)
    yield from _secrets("others", OTHERS, dice, each)
    for kind, make in HELD_OUT.items():
        yield from (Case("held-out", kind, make(dice)) for _ in range(10 * each))
    yield from _disguised(dice, each)
    for kind, make in HARMLESS.items():
        yield from (Case("harmless", kind, make(dice)) for _ in range(harmless))


def line(case: Case) -> bytes:
    """As a ledger line."""
    fields = case.value if isinstance(case.value, dict) else {"id": "m1", "text": case.value, "tags": ["a"]}
    return json.dumps(fields).encode() + b"\n"


def address(text: str) -> str:
    return urllib.parse.quote(text)
