"""Secrets of many kinds, made at random: the same seed gives the same."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

Make: TypeAlias = Callable[[random.Random], str]

_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_B64 = _LETTERS + "+/"
_URL = _LETTERS + "-_"
_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_WORDS = "harbor lantern meadow copper falcon winter sparrow granite violet thunder maple orchid river canyon".split()


def run(dice: random.Random, size: int, alphabet: str = _LETTERS) -> str:
    return "".join(dice.choices(alphabet, k=size))


def _with(prefix: str, size: int, alphabet: str, dice: random.Random, suffix: str = "") -> str:
    return prefix + run(dice, size, alphabet) + suffix


def _a(prefix: str, size: int, alphabet: str = _LETTERS, suffix: str = "") -> Make:
    return lambda dice: _with(prefix, size, alphabet, dice, suffix)


def raw(dice: random.Random, size: int) -> bytes:
    return dice.randbytes(size)


def _b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwt(dice: random.Random) -> str:
    head = _b64u(b'{"typ":"JWT","alg":"RS256","kid":"%d"}' % dice.randrange(100))
    return f"{head}.{_b64u(b'{%s}' % run(dice, 40).encode())}.{_b64u(raw(dice, 64))}"


def _pem(label: str, dice: random.Random) -> str:
    lines = [base64.b64encode(raw(dice, 48)).decode() for _ in range(5)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


def _one_line(label: str, dice: random.Random) -> str:
    return _pem(label, dice).replace("\n", "\\n")


def _password(dice: random.Random) -> str:
    """As people make them up."""
    word, other = dice.sample(_WORDS, 2)
    number = dice.randrange(10, 9999)
    return dice.choice([
        f"{word.capitalize()}{dice.choice('!@#$%&*')}{number}", f"{word}{number}{dice.choice('!?$')}",
        f"{word.capitalize()}{other.capitalize()}{number}", f"{dice.choice('!#$')}{other}{number}{word[:3].upper()}",
        f"{word[:2].upper()}{number}-{other}{dice.choice('!*')}",
    ])  # fmt: skip


def _leet(dice: random.Random) -> str:
    word = dice.choice(["dragonfly", "starlight", "password", "sunflower", "blackbird"])
    return word.translate(str.maketrans("aeiost", "@3!0$7")).capitalize() + str(dice.randrange(10, 99))


FIXED: Mapping[str, Make] = {
    "aws-temporary-key": _a("ASIA", 16, string.ascii_uppercase + "234567"),
    "github-app": _a("ghs_", 36),
    "gitlab-runner": _a("glrt-", 20, _URL),
    "groq": _a("gsk_", 52),
    "openrouter": _a("sk-or-v1-", 64, _HEX),
    "replicate": _a("r8_", 37),
    "perplexity": _a("pplx-", 48),
    "xai": _a("xai-", 80),
    "nvidia": _a("nvapi-", 64, _URL),
    "slack-app": lambda dice: f"xapp-1-A{run(dice, 10, _UPPER)}-{run(dice, 13, string.digits)}-{run(dice, 64, _HEX)}",
    "slack-webhook": lambda dice: (
        f"https://hooks.slack.com/services/T{run(dice, 8, _UPPER)}/B{run(dice, 8, _UPPER)}/{run(dice, 24)}"
    ),
    "discord-webhook": lambda dice: (
        f"https://discord.com/api/webhooks/{run(dice, 18, '123456789')}/{run(dice, 68, _URL)}"
    ),
    "discord-bot": lambda dice: f"M{run(dice, 25, _URL)}.{run(dice, 6, _URL)}.{run(dice, 38, _URL)}",
    "google-oauth": _a("GOCSPX-", 28, _URL),
    "google-refresh": _a("1//0", 60, _URL),
    "docker-hub": _a("dckr_pat_", 27, _URL),
    "rubygems": _a("rubygems_", 48, _HEX),
    "digitalocean": _a("dop_v1_", 64, _HEX),
    "supabase": _a("sbp_", 40, _HEX),
    "planetscale": _a("pscale_tkn_", 43, _URL),
    "databricks": _a("dapi", 32, _HEX),
    "vault": _a("hvs.", 90, _URL),
    "doppler": _a("dp.pt.", 43),
    "pulumi": _a("pul-", 40, _HEX),
    "tailscale": lambda dice: f"tskey-auth-{run(dice, 17)}-{run(dice, 32)}",
    "grafana": _a("glsa_", 41),
    "newrelic": _a("NRAK-", 27, _UPPER),
    "linear": _a("lin_api_", 40),
    "notion": _a("ntn_", 46),
    "airtable": lambda dice: f"pat{run(dice, 14)}.{run(dice, 64, _HEX)}",
    "atlassian": _a("ATATT3xFfGF0", 170, _URL, "=9A1B2C3D"),
    "figma": _a("figd_", 40, _URL),
    "shopify": _a("shpat_", 32, _HEX),
    "mailgun": _a("key-", 32, _HEX),
    "mailchimp": _a("", 32, _HEX, "-us14"),
    "brevo": lambda dice: f"xkeysib-{run(dice, 64, _HEX)}-{run(dice, 16)}",
    "stripe-webhook": _a("whsec_", 32),
    "jwt": _jwt,
    "pem-rsa": partial(_pem, "RSA PRIVATE KEY"),
    "pem-ec-one-line": partial(_one_line, "EC PRIVATE KEY"),
    "pgp": partial(_pem, "PGP PRIVATE KEY BLOCK"),
    "mysql-url": lambda dice: f"mysql://svc:{run(dice, 16)}@10.0.4.{dice.randrange(9, 99)}:3306/orders",
    "redis-url": lambda dice: f"redis://:{run(dice, 20)}@cache.internal:6379/0",
    "mongo-url": lambda dice: f"mongodb+srv://etl:{run(dice, 14)}@cluster0.ab1cd.mongodb.net/app",
    "bcrypt": lambda dice: f"$2b$12${run(dice, 53, './' + _LETTERS)}",
    "sas-url": lambda dice: (
        f"https://acct.blob.core.windows.net/c/f.csv?sv=2023-01-03&se=2030-01-01&sr=b&sp=r&sig={run(dice, 43, _LETTERS)}%3D"
    ),
    "bitcoin-wif": lambda dice: f"L{run(dice, 51, _B58)}",
    "alibaba": _a("LTAI5t", 18),
}
"""Of a format by which each is known."""

FREE: Mapping[str, Make] = {
    "password": _password,
    "password-leet": _leet,
    "hex-key-32": _a("", 32, _HEX),
    "hex-key-40": _a("", 40, _HEX),
    "base64-key-44": lambda dice: base64.b64encode(raw(dice, 32)).decode(),
    "drawn-20": lambda dice: run(dice, 20),
    "drawn-32": lambda dice: run(dice, 32),
    "drawn-upper-24": lambda dice: run(dice, 24, _UPPER),
    "uuid-key": lambda dice: str(uuid.UUID(int=dice.getrandbits(128))),
}
"""Known only by what stands beside them."""

OTHERS: Mapping[str, Make] = {
    "railway": _a("railway_", 36, _URL),
    "convex": lambda dice: f"prod:{dice.choice(_WORDS)}-{dice.choice(_WORDS)}-{dice.randrange(900)}|{run(dice, 58)}==",
    "upstash": _a("AX", 58, _URL),
    "inngest": _a("signkey-prod-", 64, _HEX),
    "trigger-dev": _a("tr_prod_", 24),
    "langfuse": lambda dice: f"sk-lf-{uuid.UUID(int=dice.getrandbits(128))}",
    "mistral": lambda dice: run(dice, 32),
    "deepseek": _a("sk-", 32, _HEX),
    "assemblyai": _a("", 32, _HEX),
    "zhipu": lambda dice: f"{run(dice, 32, _HEX)}.{run(dice, 16)}",
    "volcengine-ak": _a("AKLT", 44),
    "qiniu-secret": _a("", 40, _URL),
    "wechat-secret": _a("", 32, _HEX),
    "dingtalk-secret": _a("SEC", 64, _HEX),
    "clerk": _a("sk_test_", 42),
    "plaid": _a("", 30, _HEX),
    "segment": _a("sgp_", 64),
    "pagerduty": _a("u+", 18, _URL),
    "okta": _a("00", 40, _URL),
    "auth0-secret": _a("", 64, _URL),
    "wifi": _password,
    "router-pin": lambda dice: run(dice, 8, string.digits),
    "ftp-url": lambda dice: f"ftp://deploy:{_password(dice).replace('#', '9').replace('?', '')}@files.example.net/in",
    "amqp-url": lambda dice: f"amqps://svc:{run(dice, 22, _URL)}@rabbit.internal/vhost",
    "kube-token": _jwt,
    "ssh-key-dsa": partial(_pem, "DSA PRIVATE KEY"),
    "encrypted-key": partial(_pem, "ENCRYPTED PRIVATE KEY"),
}
"""Kinds that no rule was made for."""


def _text(dice: random.Random, *parts: str | Make) -> str:
    return "".join(part if isinstance(part, str) else part(dice) for part in parts)


def _says(*parts: str | Make) -> Make:
    return lambda dice: _text(dice, *parts)


def _b64_of(*parts: str | Make) -> Make:
    return lambda dice: base64.b64encode(_text(dice, *parts).encode()).decode()


_drawn_hex = _a("", 32, _HEX)
_key_44 = FREE["base64-key-44"]

HELD_OUT: Mapping[str, Make] = {
    "sentry-dsn": _says("SENTRY_DSN=https://", _drawn_hex, ":", _drawn_hex, "@o42.ingest.sentry.io/77"),
    "algolia": _says("algolia admin key ", _drawn_hex, " (never in the browser)"),
    "twitch": _says("irc pass oauth:", _a("", 30, string.ascii_lowercase + string.digits)),
    "spotify": _says("spotify client secret is ", _drawn_hex),
    "reddit": _says('reddit = praw.Reddit(client_secret="', _a("", 27, _URL), '")'),
    "basic-jira": _says("Authorization: Basic ", _b64_of("ann@harbor.io:", _a("", 24))),
    "aws-session": _says("aws_session_token = IQoJb3JpZ2luX2Vj", _a("", 300, _B64), "=="),
    "azure-storage": _says("DefaultEndpointsProtocol=https;AccountName=ax;AccountKey=", _a("", 86, _B64), "==;EndpointSuffix=x"),
    "jdbc": _says("jdbc:postgresql://db1/app?user=svc&password=", _a("", 14), "&ssl=true"),
    "odbc": _says("Driver={x};Server=db1;Uid=sa;Pwd=", _password, ";"),
    "htpasswd": _says("ann:$apr1$", _a("", 8), "$", _a("", 22, "./" + _LETTERS)),
    "kubeconfig": _says("    client-key-data: ", _b64_of(partial(_pem, "EC PRIVATE KEY"))),
    "netrc": _says("machine api.example.net\n  login ann\n  password ", _a("", 18)),
    "wireguard": _says("[Interface]\nPrivateKey = ", _key_44, "\nAddress = 10.0.0.2/32"),
    "totp-seed": _says("2FA secret for the console: ", _a("", 32, string.ascii_uppercase + "234567")),
    "recovery-codes": _says("backup codes: ", _a("", 5, _HEX), "-", _a("", 5, _HEX), ", ", _a("", 5, _HEX), "-", _a("", 5, _HEX)),
    "seed-phrase": lambda dice: "my seed phrase is " + " ".join(dice.sample(_WORDS, 12)),
    "words": lambda dice: 'the ssh key passphrase is "' + " ".join(dice.sample(_WORDS, 4)) + '"',
    "card-pin": _says("remember that my card pin is ", _a("", 4, string.digits)),
    "safe": _says("the safe combination: ", _a("", 2, string.digits), "-", _a("", 2, string.digits), "-", _a("", 2, string.digits)),
    "curl-user": _says("curl -u ann:", _password, " https://api.example.net/me"),
    "discord-mfa": _says("mfa.", _a("", 84, _URL)),
    "hetzner": _says("hcloud context token ", _a("", 64)),
    "cloudinary": _says("CLOUDINARY_URL=cloudinary://", _a("", 15, string.digits), ":", _a("", 27, _URL), "@harbor"),
    "smtp": _says("smtp://mailer:", _a("", 16), "@mail.example.net:587"),
    "mysql-option": _says("mysql -h db1 -u root --password=", _a("", 12)),
    "docker-auth": _says('{"auths":{"r.example.net":{"auth":"', _b64_of("ann:", _a("", 20)), '"}}}'),
    "gpg-chinese": _says("服务器 root 密码改成 ", _password, " 了"),
    "german-wifi": _says("WLAN-Passwort der Wohnung: ", _password),
    "email-style": _says("Hi, as discussed:\nuser: ann\npassword: ", _password, "\nThanks"),
    "spoken": _says("please log in with ann and ", _password, " as the password"),
    "django": _says("SECRET_KEY = 'django-insecure-", _a("", 50, _LETTERS + "!@#%^&*(-_=+)"), "'"),
    "rails": _says("secret_key_base: ", _a("", 128, _HEX)),
    "laravel": _says("APP_KEY=base64:", _key_44),
    "yaml-nested": _says("smtp:\n  user: ann\n  pass: ", _a("", 16)),
    "tf-var": _says('variable "db" { default = { password = "', _password, '" } }'),
    "powershell": _says("powershell -EncodedCommand ", lambda dice: base64.b64encode(f"$p='{FIXED['github-app'](dice)}'".encode("utf-16-le")).decode()),
}  # fmt: skip
"""Whole sentences of kinds that nothing was tuned for when they were written: .897 of these were found at first sight."""
