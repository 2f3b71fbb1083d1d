"""The formats that are a secret by themselves, as data. No code.

Patterns are RE2's, over UTF-8 bytes: linear in time, whatever a text holds.
"""

from __future__ import annotations

import re
from typing import NamedTuple

VERSION = 8
"""Of these rules. Records that passed older ones are judged again."""


class Format(NamedTuple):
    """`hint`: a small pattern that occurs in whatever `pattern` matches: it is searched for first. `drawn`: the shape
    alone is too common, so what matches must look drawn at random, too."""

    rule: str
    hint: str
    pattern: str
    drawn: bool = False

    @property
    def repeats(self) -> bool:
        """Whether its hint has a repetition, which multiplies with those of others in one automaton."""
        return _REPEATS.search(self.hint) is not None


_REPEATS = re.compile(r"[*+]|\{\d")


_W = r"[\w-]"
_AN = "[A-Za-z0-9]"
_HEX = "[0-9a-fA-F]"
_B58 = "[1-9A-HJ-NP-Za-km-z]"
_QUERY_KEYS = (
    "sig|signature|x-amz-signature|x-goog-signature|token|access_token|api_?key|key|auth|(?:client_)?secret|code"
)
_SCHEMES = "bearer|apikey|negotiate|digest|token|ssws|pat"
_GLUED = r"mysql\w*|mariadb\w*|7z[ar]?|rar|unrar"
_SPACED = (
    r"unzip|zip|7z|redis-cli|openssl|ldap\w+|sqlcmd|bcp|cqlsh|mongo\w*|mosquitto_\w+|(?:docker|podman|helm|az)\s+\w*login"
    r"|plink|pscp|keytool|isql"
)
_LETTERS = "p|P|a|k|w|pw|storepass|keypass"
"""Options in which these commands take a password: behind them, or glued to them."""
_CALLS = r"wifi\w*\.begin\(|auth\w*\s{0,2}=\s{0,2}[\[(]|(?:auth|login|logon|signin|credential)\w*\("
_CRYPTS = "[156y7]|gy|md5|sha1|apr1|argon2|scrypt"
_OPTIONS = (
    r"sshpass\s{1,3}-p|--passw(?:or)?d|--token|--api-key|--secret|identified\s{1,3}by|requirepass"
    r"|snmp-server\s{1,3}community"
)
_USERS = r"admin|root|postgres|administrator|ubuntu|guest|operator|superuser|user\d*"
_CODES = (
    r"\bcode|combination|passcode|kombination|kombinasi|código|codice|\bкод|\bkod[eu]?\b|\bkód|koodi|\bcod\b|\bmã\b|קוד"
    "|κωδικ|رمز|कोड"
)
_VERBS = (
    r"unlock|activate|log(?:s|ged)?\s?in|sign(?:s|ed)?\s?in|log\s?on|decrypt|"
    r"entsperr|anmeld|einlogg|entschlüssel|déverrouill|connecte|desbloque|iniciar? sesi"
)
_BY = "with|using|mit|avec|con"
"""`Unlock it with Tiger!4821`."""
_PLACES = (
    r"door|gates?\b|safe|alarm|garage|locker|padlock|building|elevator|tür|tor|tresor|zahlenschloss|porte|immeuble|portail|coffre"
    "|puerta|portón|portal|caja fuerte|porta|cancello|cassaforte|двер[ьи]|сейф|подъезд|portão|cofre|deur|kluis|poort"
    "|dør|dörr|garaż|drzwi|bram[ay]|sejf|dveř|trezor|bran[ay]|pintu|brankas|gerbang|kapı|kasa|ajtó|kapu|széf|ușă"
    "|ușa|seif|poart|двері|ворота|врата|πόρτα|χρηματοκιβ|דלת|כספת|باب|خزنة|cửa|két sắt"
)
_IS = "is|was|=|:|—|–|ist|lautet|est|es|è|é|e|это|er|är|on|to|je|este|adalah|là|е|είναι|הוא|هو|है"
"""`The code for the garage is 4821`."""
_CODE_IS = rf"(?i:{_CODES})[^\n\"]*(?:{_IS})\s{{0,2}}[\"'`*]{{0,2}}\d{{3}}"
_OPENED = (
    r"(?:opens?|unlocks?|geht auf|öffnet|s'ouvre|se abre|si apre|abre|åbner|åpnes|öppnas|opent|otwiera się|otevírá se"
    r"|nyílik|открывается|відкривається|отваря се)\s(?:with|mit|avec|con|com|på|med|met|kodem|kódem)"
)
_PARTED = r"(?:\s(?:[-|/,]|\xe2\x80[\x93\x94])\s|[,;]\s?|\s)"
"""Between an address and its password."""
_SECOND = r"(?:\s[/|]\s[!-~]?|/)[A-Za-z][\w-]*[!#$%&*?+.]?[0-9]"
"""Of a name and a password, parted by a slash."""
_ACCOUNTS = (
    "(?i:access|account|admin|login|server|staging|test|zugang|konto|acces|compte|acceso|cuenta|accesso|conta|dost)"
    "|acc\xc3\xa8s|[Дд]оступ|[Сс]ервер|[Аа]ккаунт|[Вв]ход|账号|帐号|帳號|账户|环境|環境|アカウント|계정|서버"
)
"""Of whom a name and a password may follow: `ann / Tiger_4821`."""
_LINKS = "login|log-in|signin|sign-in|magic|reset|verify|invite|invitation|confirm|activate|impersonate|sso|unsubscribe"
_SECRET_DATA = r"(?:data|stringData):[ \t]*\n(?:[ \t]+[\w.\"'-]+:[ \t]*[^\s][^\n]*(?:\n|$))+"
"""Of a Kubernetes manifest, in YAML."""
_UUID = f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}"


def _begins(rule: str, hint: str, rest: str, *, drawn: bool = False) -> Format:
    """A format that begins with its hint."""
    return Format(rule, hint, f"\\b(?:{hint}){rest}", drawn)


FORMATS: tuple[Format, ...] = (
    _begins("aws-access-key", "AKIA|ASIA|ABIA|ACCA", "[A-Z2-7]{16}\\b"),
    _begins("github-token", "gh[pousr]_", f"{_AN}{{30,}}"),
    _begins("github-token", "github_pat_", r"\w{36,}"),
    _begins("gitlab-token", "gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-", r"[\w.-]{18,}"),
    _begins("anthropic-key", "sk-ant-", f"{_W}{{20,}}"),
    _begins("openai-key", "sk-(?:proj|svcacct|admin|None|service)-", f"{_W}{{20,}}", drawn=True),
    _begins("model-key", "sk-(?:or-v1-|lf-)?", f"{_W}{{20,}}", drawn=True),
    _begins("model-key", "pk-lf-|gsk_|xai-|pplx-|r8_|hf_|api_org_|nvapi-", f"{_W}{{20,}}", drawn=True),
    _begins("model-key", "jina_|csk-|tgp_v1_", f"{_W}{{20,}}", drawn=True),
    _begins("model-key", "tvly-|fw_|e2b_|lsv2_(?:pt|sk)_|pcsk_|esecret_|wandb_v1_|KGAT_", f"{_W}{{20,}}", drawn=True),
    _begins("model-key", "fc-|bb_live_|ctx7sk-|hl-|pa-|ak-|sk_|ak_", f"{_W}{{24,}}", drawn=True),
    _begins("slack-token", "xox[a-z]-", r"[\w.%-]{10,}"),
    _begins("slack-token", r"xapp-\d-", r"[\w-]{10,}"),
    Format("webhook", r"hooks\.slack\.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{12,}"),
    Format("webhook", r"/api/webhooks/\d", r"discord(?:app)?\.com/api/webhooks/\d{5,}/[\w-]{12,}"),
    Format("webhook", r"office\.com/webhook", r"office\.com/webhook[\w/@.-]{12,}"),
    Format("webhook", r"hooks\.zapier\.com", r"zapier\.com/hooks/catch/[\w/.-]{12,}"),
    Format("webhook", r"maker\.ifttt\.com", r"ifttt\.com/trigger/[\w/.-]{12,}"),
    Format("webhook", r"/(?:web)?hooks?/[\w-]{8}", r"/(?:web)?hooks?/[\w-]{20,}", drawn=True),
    Format("webhook", f"/private-{_HEX}{{16}}", f"/private-{_HEX}{{16,}}"),
    Format("webhook", "bot/v2/hook|robot/send|webhook/send", r"(?:v2/hook/|access_token=|[?&]key=)[\w-]{12,}"),
    Format("discord-token", r"\.[\w-]{6}\.[\w-]{8}", r"\b[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,}"),
    Format("telegram-token", r"\d:A[\w-]{8}", r"\b\d{8,10}:A[\w-]{33,35}"),
    _begins("stripe-key", "[srp]k_(?:live|test)_", f"{_AN}{{16,}}"),
    _begins("stripe-key", "whsec_", "[A-Za-z0-9+/=]{24,}"),
    _begins("google-key", "AIza", f"{_W}{{35}}"),
    _begins("google-key", "GOCSPX-", f"{_W}{{24,}}"),
    _begins("google-key", r"ya29\.", f"{_W}{{20,}}"),
    _begins("google-key", "1//0", f"{_W}{{40,}}"),
    _begins("registry-token", "npm_", f"{_AN}{{30,}}"),
    _begins("registry-token", "pypi-", f"{_W}{{50,}}"),
    _begins("registry-token", "rubygems_", f"{_HEX}{{40,}}"),
    _begins("registry-token", "dckr_[po]at_", f"{_W}{{20,}}"),
    _begins("registry-token", "oy2", "[a-z0-9]{43}", drawn=True),
    _begins("registry-token", "CLOJARS_", f"{_HEX}{{60}}"),
    _begins("registry-token", "AKC|cmVmdGtu", f"{_AN}{{50,}}", drawn=True),
    _begins("jwt", "eyJ", r"[\w-]{8,}\.(?:[\w-]*\.){1,4}[\w-]{8,}"),
    _begins("jwt", "eyJ", r"[\w-]{8,}\.eyJ[\w-]{8,}"),
    _begins("age-key", "(?i:AGE-(?:SECRET-KEY|PLUGIN-[A-Z0-9]+)-1)", "[A-Za-z0-9]{40,}"),
    _begins("sendgrid-key", r"SG\.", f"{_W}{{16,32}}\\.{_W}{{16,}}"),
    _begins("mail-key", f"key-{_HEX}{{8}}", f"{_HEX}{{24}}\\b"),
    _begins("mail-key", "x(?:keysib|smtpsib)-", f"{_HEX}{{64}}-{_AN}{{16}}"),
    _begins("mail-key", f"re_{_AN}{{8}}_", f"{_AN}{{20,}}"),
    _begins("mail-key", r"mlsn\.", f"{_HEX}{{64}}"),
    Format("mail-key", r"-us\d", f"\\b{_HEX}{{32}}-us\\d{{1,2}}\\b"),
    _begins("twilio-key", f"SK{_HEX}{{8}}", f"{_HEX}{{24}}\\b"),
    _begins("cloud-token", "do[oprt]_v1_", f"{_HEX}{{64}}"),
    _begins("cloud-token", "HRKU-|fo1_|sb_secret_|cf[aur]t_", f"{_W}{{20,}}"),
    _begins("cloud-token", r"FlyV1 fm\d", r"[\w+/=,-]{20,}"),
    _begins("cloud-token", "npg_", f"{_AN}{{10,}}"),
    _begins("cloud-token", "vc[pciark]_|nf[pcobu]_|rnd_|napi_", f"{_AN}{{20,}}", drawn=True),
    _begins("cloud-token", "sbp_(?:v0_)?|dapi|dkea|pul-", f"{_HEX}{{32,}}"),
    _begins("cloud-token", "pscale_(?:tkn|pw|oauth)_", r"[\w.-]{30,}"),
    _begins("cloud-token", r"v1\.0-", f"{_HEX}{{24}}-{_HEX}{{100,}}"),
    Format("cloud-token", r"\.atlasv1\.", f"{_AN}{{14}}\\.atlasv1\\.[\\w=-]{{60,}}"),
    _begins("vault-token", r"hv[sbr]\.", f"{_W}{{20,}}"),
    _begins("vault-token", r"\bs\.[A-Za-z0-9]{8}", f"{_AN}{{16}}\\b", drawn=True),
    _begins("vault-token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.", r"[\w.]{30,}"),
    _begins("vault-token", "ops_eyJ", r"[\w=-]{100,}"),
    _begins("vault-token", "A3-[A-Z0-9]{6}-", "[A-Z0-9]{6,11}(?:-[A-Z0-9]{5}){3,4}"),
    _begins("network-key", "tskey-", f"[a-z]{{2,12}}-{_W}{{10,}}"),
    _begins("monitoring-key", "gl(?:c|sa)_", r"[\w+/=]{30,}"),
    _begins("monitoring-key", "NR(?:AK|AL|JS|II|RA)-", r"[\w-]{16,}"),
    _begins("monitoring-key", "sntry[su]_", r"[\w+/=.-]{40,}"),
    _begins("monitoring-key", "ph[cx]_|hcaik_|dd[ap]_", f"{_AN}{{30,}}", drawn=True),
    _begins("service-token", "lin_(?:api|oauth)_|ntn_|secret_|grn_|apify_api_", f"{_AN}{{30,}}", drawn=True),
    _begins("service-token", f"pat{_AN}{{8}}", f"{_AN}{{6}}\\.{_HEX}{{64}}"),
    Format("service-token", f"\\d{{10}}:{_HEX}{{16}}", f"\\b\\d/\\d{{10,20}}(?:/\\d{{10,20}})?:{_HEX}{{32}}"),
    _begins("service-token", "AT(?:ATT|CTT|BB)", r"[\w=-]{20,}", drawn=True),
    _begins("service-token", "fig[dou]r?_", f"{_W}{{30,}}"),
    _begins("service-token", r"sl\.", r"[\w-]{60,}", drawn=True),
    _begins("service-token", "shp(?:at|ca|pa|ss|ua|tka)_", f"{_HEX}{{32}}"),
    _begins("service-token", "sq0[a-z]{3}-|EAAA|EAA[A-Z]", f"{_W}{{20,}}", drawn=True),
    _begins("service-token", r"access_token\$", r"(?:production|sandbox)\$[\w$]{20,}"),
    _begins("service-token", "AAAAAAAAA", "[A-Za-z0-9%]{40,}", drawn=True),
    _begins("service-token", "CFPAT-|CCIPAT_", f"{_W}{{40,}}"),
    _begins("service-token", r"pat-(?:na|eu|ap)\d-|access-(?:sandbox|production|development)-", _UUID),
    _begins("service-token", r"[sp]k\.eyJ", r"[\w-]{30,}\.[\w-]{16,}"),
    _begins("service-token", "(?:sdk|api|token|secret|pat|sk)-", _UUID),
    _begins("service-token", "p8e-|duffel_(?:test|live)_|secret-(?:live|test)-|IGQV|tfp_", r"[\w.=-]{24,}"),
    _begins("service-token", "BBDC-", r"[\w+@#-]{40,}"),
    _begins("service-token", "EZ[AT]K|FLWSECK(?:_TEST)?-", f"{_AN}{{12,}}", drawn=True),
    _begins("service-token", "rzp_(?:live|test)_", f"{_AN}{{14}}"),
    _begins("service-token", "(?:live|test)_", f"{_AN}{{28,}}", drawn=True),
    _begins("service-token", "shippo_(?:live|test)_", f"{_HEX}{{40}}"),
    _begins("service-token", "bk[a-z]{2}_|sq[apu]_", f"{_HEX}{{40}}"),
    _begins("service-token", "pn[ub]_", f"{_AN}{{36}}"),
    _begins("service-token", "LTAI|AKID", f"{_AN}{{12,}}\\b", drawn=True),
    _begins("service-token", r"AQVN|y[0-9]_|t1\.", r"[\w.-]{35,}", drawn=True),
    Format("service-token", r"\dQ~", r"[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    _begins("service-token", r"dt0[a-z]\d\d\.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    Format("service-token", f"{_HEX}:{_HEX}{{40}}", f"\\b{_HEX}{{20,40}}:{_HEX}{{40,}}\\b", drawn=True),
    _begins(
        "service-token", "[a-z]+[_-](?:live|prod|secret|pat|api_?key|key|token|sk)[_-]", f"{_W}{{16,}}", drawn=True
    ),
    Format("wallet-key", f"\\b[5KL]{_B58}*[A-Z]{_B58}{{20}}", f"\\b[5KL]{_B58}{{50,51}}\\b", drawn=True),
    _begins("wallet-key", "[xyztuv]prv", f"{_B58}{{90,}}"),
    _begins("wallet-key", "nsec1", "[02-9ac-hj-np-z]{58}"),
    _begins("wallet-key", "S[A-Z2-7]{12}", "[A-Z2-7]{43}\\b"),
    Format(
        "private-key",
        "(?:PRIVATE|SECRET|Static) (?:KEY|key)",
        r"-{4,5} ?BEGIN [A-Za-z0-9 ]*(?:PRIVATE|SECRET|Static) (?:KEY|key)[A-Za-z0-9 ]*-{4,5}",
    ),
    _begins("private-key", r"PuTTY-User-Key-File-\d", ""),
    _begins("private-key", "b3BlbnNzaC1rZXktdjE", r"[A-Za-z0-9+/=\s\\]{20,}"),
    Format("wallet-key", r"\"d\\?\"\s*:\s*\\?\"[\w-]{20}", r"\"d\\?\"\s*:\s*\\?\"[\w-]{40,}", drawn=True),  # of a JWK
    _begins("private-key", "MII", "[A-Za-z0-9+/]{3}IBA(?:AK|D)[A-Za-z0-9+/=]{40,}"),
    _begins("private-key", "MI[GH][A-Z0-9]AgEA|MHcCAQEE|MC4CAQAwBQYDK2Vw", "[A-Za-z0-9+/=]{40,}"),
    Format(
        "url-credentials",
        r"://[^\s/@\"'<>]*:[^\s/@\"'<>]*@",
        r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]*:[^\s/@\"'<>]{3,}@[^\s\"'<>@]+",
    ),
    Format(
        "url-key", r"[?&][A-Za-z_-]+=[^\s&]{8}", rf"(?i)[?&](?:[a-z]{{1,16}}_)?(?:{_QUERY_KEYS})=[^\s&\"'<>#]{{12,}}"
    ),
    Format("authorization", r"(?i:basic)\s+[A-Za-z0-9+/]{8}", r"(?i)\bbasic\s{1,3}[A-Za-z0-9+/]{8,}={0,2}"),
    Format(
        "authorization",
        rf"(?i:{_SCHEMES})\s+[A-Za-z0-9._~+/-]{{12}}",
        rf"(?i)\b(?:{_SCHEMES})\s{{1,3}}[A-Za-z0-9._~+/-]{{16,}}={{0,2}}",
    ),
    Format("password-hash", r"\$2[abxy]\$\d", r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{50,53}"),
    Format("password-hash", f":{_HEX}{{32}}:::", f"\\b[\\w.$-]+:\\d+:{_HEX}{{32}}:{_HEX}{{32}}:::"),
    Format("password-hash", rf"\$(?:{_CRYPTS})", rf"\$(?:{_CRYPTS})(?:id|i|d)?\$[\w=,$+/.-]{{20,}}"),
    Format(
        "password-hash", r"SHA(?:256|512)?\}|pbkdf2_", r"(?:\{S?SHA(?:256|512)?\}|pbkdf2_sha256\$\d+\$)[\w+/=$]{20,}"
    ),
    Format(
        "login",
        r"(?i:login|user|username|user-?pwd|-[a-z]{0,3}u|http\S*\s+-a)\s+[\"']?[^\s:\"']+(?::|\s+pass)",
        r"(?i)(?:\b(?:login|user|username)|-[a-z]{0,3}u|--user|--userpwd|\bhttps?\s{1,3}-a)\s{1,3}"
        r"[\"']?[^\s:\"']{1,64}(?::|\s{1,3}pass(?:word)?\s{1,3})[^\s\"']{4,}",
    ),
    Format("login", f"(?i:{_OPTIONS})", rf"(?i)(?:{_OPTIONS})[ =]{{1,3}}[\"']?[^\s\"'-][^\s\"']{{3,}}"),
    Format(
        "login",
        rf"(?i:{_USERS})\s?[:/]\s?[^\s\"'/:]{{6}}",
        rf"(?i)(?:^|[\s\"'(,=])(?:{_USERS})(?::|\s?/\s?)[^\s\"'/:]{{6,64}}",
    ),
    Format(
        "login",
        r"\s-h?p[\"']?[^\s\"'-]",
        rf"\b(?:{_GLUED})\s(?:[^\n|;&]*?\s)?-h?p[\"']?[^\s\"'-][^\s\"']{{3,}}",
    ),
    Format(
        "login",
        rf"\s-(?:{_LETTERS})\s+[\"']?[^\s\"'-]",
        rf"\b(?:{_SPACED})\s(?:[^\n|;&]*?\s)?-(?:{_LETTERS})\s+[\"']?[^\s\"'-][^\s\"']{{3,}}",
    ),
    Format(
        "login",
        r"(?:sqlplus|rman|expdp|impdp|sqlldr)\s",
        r"\b(?:sqlplus|rman|expdp|impdp|sqlldr)\s+[^\s/]+/[^\s\"'@]{4,}",
    ),
    Format(
        "login",
        rf"(?i:{_CALLS})\s*\\?[\"']",
        rf"(?i)(?:{_CALLS})\s*[\"'][^\"'\n]{{1,64}}[\"']\s*,\s*[\"'][^\"'\s]{{4,64}}",
    ),
    Format(
        "login",
        r"(?:echo|printf)\s[^\n|>]*[|>]",
        r"\b(?:echo|printf)\s+(?:-n\s+)?[\"']?[^\s\"'$|]{4,100}[\"']?\s*[|>][^\n]*?(?:\s-S\b|-stdin|-with-token|passwd|secret|login|vault|gpg|crypt|kinit|smbclient|ssh-add)",
    ),
    Format(
        "login",
        rf"(?i:{_VERBS})[^\n.!?]*\s(?i:{_BY})\s",
        rf"(?i)\b(?:{_VERBS})[^\n.!?]{{0,40}}?\s(?:{_BY})\s+[^\s\"']{{6,64}}",
    ),
    Format(
        "login",
        r"(?i:use)\s[^\s\d]*\d\S*\s(?:for|as)\s",
        r"(?i)\buse\s\S{6,64}\s(?:for|as)\s(?:[^\s.]+\s){0,4}?(?:account|login)",
    ),
    Format(
        "login", r"@[\w-]+\.[\w.-]+\s?[:/|]\s?[^\s/]{6}", r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w(?::|\s[/|]\s)[^\s/\"']{6,64}"
    ),
    Format("login", r"@(?:tcp|unix)\(", r"\b\w+:[^\s:@/\"']{4,64}@(?:tcp|unix)\("),
    Format("login", r"/u\w*:\S+\s+/p", r"(?i)/u(?:ser)?:\S+\s+/p(?:ass(?:word)?)?:[^\s\"']{4,64}"),
    Format(
        "login",
        r"(?i:connect)\w*\(\s*\\?[\"']",
        r"(?i)connect\w*\((?:\s*[\"'][^\"'\n]{0,64}[\"']\s*,){2}\s*[\"'][^\"'\s]{4,64}",
    ),
    Format("login", r"jdbc:oracle:", r"\bjdbc:oracle:\w+:[^\s/@]{1,64}/[^\s/@\"']{4,64}"),
    Format("login", r"@\d{1,3}\.\d", r"\b[A-Za-z]\w{1,30}/[^\s/@\"']{6,64}@\d{1,3}(?:\.\d{1,3}){3}\b"),
    Format(
        "login", r":(?:\d{4,5}|\*):[\w.*-]+:", r"[\w.-]*(?:[A-Za-z.]|\*):(?:\d{4,5}|\*):[\w.*-]+:[\w.*-]+:[^\s:\"']{6,}"
    ),
    Format("login", r"/user:\S", r"(?i)\bnet\s+use\s[^\n|;&]*?/user:\S+\s+[^\s/]\S{3,}"),
    Format("login", "WIFI:", r"\bWIFI:[^\n\"]*P:[^;\n]{4,};"),
    Format(
        "code",
        _CODE_IS,
        rf"(?i)\b(?:{_PLACES})\b[^\n.!?]{{0,20}}\b(?:{_CODES})\s{{0,2}}(?:{_IS})\s{{0,2}}[\"'`*]{{0,2}}\d{{3,8}}[A-F#*]?\b",
    ),
    Format(
        "code",
        _CODE_IS,
        rf"(?i)(?:{_CODES})[^\n.!?0-9\"]{{1,40}}(?:{_PLACES})\w{{0,3}}\s{{0,2}}(?:{_IS})\s{{0,2}}[\"'`*]{{0,2}}\d{{3,8}}[A-F#*]?\b",
    ),
    Format(
        "code",
        r"\d\s(?:is|ist|est|es)\s(?:your|dein|ihr|votre|tu|su)",
        r"(?i)\b(?:[A-Z]-)?\d{4,8}\s(?:is|ist|est|es)\s(?:your|deine?|ihre?|votre|tu|su)\b[^\n.]{0,30}code",
    ),
    Format(
        "cluster-secret",
        r"kind: Secret\s",
        rf"(?m)^kind: Secret\s*\n(?:[^\n]*\n){{0,30}}?{_SECRET_DATA}|{_SECRET_DATA}(?:[^\n]*\n){{0,8}}?kind: Secret$",
    ),
    Format(
        "login",
        r"\s-[uU]\s*\w",
        r"\s-[uU]\s*[^\s-]\S*\s(?:[^\n|;&]*?\s)?-[pP]\s*[\"']?[^\s\"'-][^\s\"']{3,64}",
    ),
    Format("login", r"\s-U\s*[\w.\\/-]+%", r"\s-U\s*[\w.\\/-]+%[^\s\"']{4,64}"),
    Format("service-token", r"\s-u\s*[\"']?\w{16}", r"\s-u\s*[\"']?[\w-]{16,}:", drawn=True),
    Format("login", r"\s-(?:p|P|N|k|w|pw)\s+[\"'][^\s\"']{6}", r"\s-(?:p|P|N|k|w|pw)\s+[\"'][^\s\"']{6,64}[\"']"),
    Format("login", r"\s-u\s*[\w.-]+,[^\s,]{6}", r"\s-u\s*[\w.-]+,[^\s,\"']{6,64}"),
    Format(
        "login",
        r"\xe2\x80\x94\s[\w.@-]+\s\xe2\x80\x94\s",
        r"\s\xe2\x80\x94\s[\w.@-]{2,30}\s\xe2\x80\x94\s[^\s\"']{6,64}",
    ),
    Format("login", r"\w\s/\s\S{0,12}[!#$%&*?@]", r"\b[\w.@-]{2,30}\s/\s[^\s/\"']{6,64}"),
    Format(
        "key",
        rf"[A-Z]=[\"']?(?:[a-z]{{2,8}}:)?{_AN}{{24}}",
        rf"\b[A-Z][A-Z0-9_]{{2,40}}=[\"']?(?:[a-z]{{2,8}}:)?{_AN}{{24,}}",
    ),
    Format(
        "service-token",
        rf"(?:key|token|secret|pat)[ =]{_HEX}{{8}}-",
        rf"--[\w-]*(?:key|token|secret|pat)[ =]{_UUID}",
    ),
    Format(
        "login",
        r"(?i:net\suser|useradd|adduser|add_user)\s",
        r"(?i)\b(?:net\suser|useradd|adduser|add_user)\s+[\w.-]+\s+[^\s/-]\S{5,64}",
    ),
    Format("login", r"(?i:create\s?user)\s", r"(?i)\bcreate\s?user\s[^\n;]{0,60}?[\"'][^\s\"']{6,64}[\"']"),
    Format("login", r"(?:AUTH|PASS)\s+\S*[0-9]", r"(?m)(?:^|[>:]\s)(?:AUTH|PASS)\s+[^\s:]{5,64}$"),
    Format(
        "login",
        rf"@[\w-]+\.[\w.-]+{_PARTED}\S{{0,40}}[0-9]",
        rf"\b[\w.+-]+@[\w-]+\.[\w.-]*\w{_PARTED}[^\s/\"']{{6,64}}",
    ),
    Format(
        "login",
        rf"\w{_SECOND}",
        rf"(?:{_ACCOUNTS})[^\n/|.]{{0,40}}?[\s:(\x80-\xff][\w.@-]{{1,30}}\w{_SECOND}[^\s/\"'|)]{{0,60}}",
    ),
    Format("login", r"(?:^|\n|\\n)[ \t>-]*[a-z]\w{1,15}:[A-Z]", r"(?m)^[ \t>-]*[a-z]\w{1,15}:[A-Z][^\s:/\"',]{5,63}$"),
    Format(
        "login",
        r"(?:admin|root|user|@[\w.-]+)(?:\n|\\n)[^\s\"]{6}",
        r"(?m)^(?:admin|root|user|[\w.+-]+@[\w.-]+)[ \t]*\n[ \t]*\S{6,64}$",
    ),
    Format(
        "code",
        rf"(?:{_OPENED})\s{{0,2}}\d",
        rf"(?i)\b(?:{_PLACES})\b[^\n.]{{0,30}}\b(?:{_OPENED})\s{{0,2}}(?:\d{{2}}[ -]\d{{2}}[ -]\d{{2}}|\d{{4,8}})\b",
    ),
    _begins("code", "MT:", "[A-Z0-9.-]{17,22}", drawn=True),
    Format("code", r"(?i:pair)\w*\s\w+\s\d{4}", r"(?i)\bpair(?:s|ed|ing)?\s(?:with|using|code|by|pin)\s\d{4,8}\b"),
    Format(
        "code",
        r"\d{4}-\d{3}-\d{4}",
        r"(?i)\b(?:matter|homekit|pairing|setup code)\b[^\n]{0,40}[: ]\d{4}-\d{3}-\d{4}\b",
    ),
    Format(
        "code",
        r"(?i:kombina|combina|combo|szyfr|комбина)",
        r"(?i)(?:kombina|combina|combo|szyfr|комбина)[^\n.\d]{0,40}\b\d{2}[- ]\d{2}[- ]\d{2}\b",
    ),
    Format("webhook", r"ntfy\.sh/", r"\bntfy\.sh/[\w-]{16,}", drawn=True),
    Format("url-key", r"/(?:premium|private|members?)/", r"://[^\s\"'?]*/(?:premium|private|members?)/(?:u/)?\w{20,}"),
    Format(
        "webhook",
        r"hc-ping\.com|/api/push/|/heartbeats?/",
        rf"(?:hc-ping\.com|/api/push|/heartbeats?)/(?:{_UUID}|[\w-]{{10,}})",
    ),
    Format("service-token", ":fx", rf"\b{_UUID}:fx\b"),
    Format(
        "service-token",
        r"(?i:share)\s\d",
        r"(?i)\bshare\s\d\s(?:of|/|von|de|из)\s\d\b[^\n=:]{0,40}[=:]\s?[\w+/-]{24,}",
        drawn=True,
    ),
    Format("login", r"(?i:net\suse)\s", r"(?i)\bnet\suse\s+(?:\S:\s+)?\\\\\S+\s+[^\s/*]\S{5,64}"),
    Format(
        "login",
        r"\s(?:type|enter|use)\s\S*\d",
        r"(?i)\b(?:prompt|lock ?screen|login|luks|grub|bios|console)\b[^\n.]{0,24}?\b(?:type|enter|use)\s"
        r"[^\s\"']{6,64}",
    ),
    Format(
        "login",
        r"(?:gets?|lets?)\s(?:you|me|us|him|her|them)\sin",
        r"(?i)[^\s\"'`]{6,64}[\"'`]?,?\s(?:that |which |what )?(?:gets?|lets?)\s(?:you|me|us|him|her|them)\sin",
    ),
    Format(
        "url-key",
        r"[?&]\w{1,12}=[\w-]{24}",
        rf"(?i)://[^\s\"'?]*\b(?:{_LINKS})[^\s\"'?]*\?[^\s\"']{{0,60}}?=[\w-]{{24,}}",
        drawn=True,
    ),
    Format("url-key", rf"/(?i:{_LINKS})/[\w-]{{20}}", rf"(?i)://[^\s\"'?]*/(?:{_LINKS})/[\w-]{{20,}}", drawn=True),
    Format(
        "service-token",
        rf"(?i:api|key|token|secret|pat)-{_UUID}",
        rf"(?i)\b\w{{0,8}}(?:api|key|token|secret|pat)-{_UUID}",
    ),
    Format(
        "service-token",
        rf"(?i:\b[aps]k)[ :=\"']{{1,4}}{_AN}{{16}}",
        r"(?i)\b[aps]k[ :=\"']{1,4}[A-Za-z0-9+/_-]{20,}",
        drawn=True,
    ),
    Format("login", r"<<<\s?[\"']", r"<<<\s?[\"'][^\s\"']{6,64}[\"']"),
    Format(
        "recovery-key",
        r"[0-9A-Z]-[0-9A-Z]{4,6}-[0-9A-Z]{4,6}-[0-9A-Z]{4,6}-[0-9A-Z]{4}",
        r"\b(?:(?:[0-9A-Z]{4}-){5,9}[0-9A-Z]{4}|(?:[0-9A-Z]{5}-){4,7}[0-9A-Z]{5}|(?:[0-9]{6}-){7}[0-9]{6})\b",
    ),
    Format("one-time-secret", "otpauth://", r"otpauth://[^\s\"']{10,}"),
)
