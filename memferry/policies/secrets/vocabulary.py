"""The words of the search for secrets, as data: what announces one, and what is none. No code."""

from __future__ import annotations

PASSWORD, KEY, CODE, PHRASE = "password", "key", "code", "phrase"
"""What a word announces: what a human made up, what a machine drew, digits, twelve words or more."""

PASSWORD_WORDS = (
    "password", "passwd", "passphrase", "pass phrase", "passcode", "passwrd", "pwd", "userpass", "mot de passe",
    "mdp", "passwort", "kennwort", "losungswort", "contraseña", "contrasena", "contrasenya", "senha",
    "palavra-passe", "parola d'ordine", "wachtwoord", "hasło", "hasla", "heslo", "lösenord", "losenord", "salasana",
    "salasana on", "adgangskode", "şifre", "sifre", "parola", "jelszó", "пароль", "пароля", "паролем",
    "кодовое слово", "密码", "密碼", "口令", "暗号", "パスワード", "パスフレーズ", "비밀번호", "암호",
    "كلمة المرور", "mật khẩu", "รหัสผ่าน", "पासवर्ड", "passord", "kodeord", "geslo", "лозинка", "кодова дума",
    "συνθηματικ", "κωδικός πρόσβασης", "contrasinal", "pasahitza", "wagwoord", "kata laluan", "nenosiri",
    "lykilorð", "slaptažod", "salasõna", "şifrə", "fjalëkalim", "գաղտնաբառ", "პაროლ", "құпиясөз", "нууц үг",
    "পাসওয়ার্ড", "கடவுச்சொல்", "پاس ورڈ", "گذرواژه", "رمز عبور", "كلمة السر", "كلمة مرور", "סיסמא", "ពាក្យសម្ងាត់",
    "userpassword", "口令码", "通行码", "비번", "패스워드", "パス", "lozink", "parool", "bindpw", "rootpw",
    "userpw", "adminpw", "securestring", "assword", "p4ssw0rd", "passw0rd", "p@ssw0rd", "pa$$word", "p455w0rd",
    "kata sandi", "парол", "סיסמה", "κωδικό", "كلمة سر", "hasłem", "hasła", "heslem", "hesla", "jelszav", "parolă",
    "security word", "code word", "codeword", "memorable word", "رمز ورود", "รหัสไวไฟ", "salasanan",
    "geheimwort", "mat khau", "गुप्त शब्द", "security question", "security answer", "secret question",
    "maiden name", "sicherheitsfrage", "pregunta de seguridad", "question de sécurité", "domanda di sicurezza",
    "контрольный вопрос", "密保问题", "秘密の質問",
)  # fmt: skip
PASSWORD_SHORT = ("pass", "pw", "psw", "pswd", "passw", "login", "logon", "creds", "clave", "geslo", "psk", "wpa")
"""Too short to stand inside of other words."""

KEY_WORDS = (
    "secret", "token", "api key", "api-key", "api_key", "apikey", "access key", "access-key", "access_key",
    "accesskey", "private key", "private-key", "private_key", "privatekey", "signing key", "signing_key",
    "encryption key", "encryption_key", "deploy key", "license key", "licence key", "master key", "shared key",
    "account key", "accountkey", "credential", "connection string", "connectionstring", "authorization", "bearer",
    "webhook", "x-api-key", "client secret", "助记词", "seed phrase", "recovery phrase", "mnemonic", "recovery key",
    "backup code", "recovery code", "service account", "geheimnis", "zugangsdaten", "schlüssel", "schluessel",
    "zugangsschlüssel", "jeton", "clé", "identifiants", "clef", "secreto", "credencial", "llave", "ficha de acceso",
    "segredo", "chave", "segreto", "chiave", "sleutel", "klucz", "ключ", "токен", "секрет", "密钥", "密鑰", "秘钥",
    "私钥", "令牌", "凭证", "凭据", "金鑰", "授权码", "トークン", "シークレット", "秘密鍵", "認証情報", "キー",
    "토큰", "시크릿", "비밀키", "인증키", "seed words", "recovery words", "setup key", "einmalcode",
    "wiederherstellungscode", "code de secours", "código de respaldo", "código de recuperación", "резервный код",
    "резервные коды", "备用码", "恢复码", "バックアップコード", "백업 코드", "keypair", "keyfile",
    "authkey", "auth-key", "auth_key", "preauthkey",
)  # fmt: skip
KEY_SHORT = (
    "key", "keys", "auth", "pat", "jwt", "salt", "seed", "cookie", "session", "sessionid", "sid", "csrf", "dsn",
    "hmac", "otpauth", "access", "sas", "privkey", "api", "anahtar", "nyckel", "nøgle", "avain",
)  # fmt: skip

STRONG_WORDS = (*KEY_WORDS[:32], "auth", "pat")
"""Beside these even a UUID is a secret."""
PHRASE_SHORT = ("wallet", "metamask")
PHRASE_WORDS = (
    "passphrase", "pass phrase", "seed phrase", "recovery phrase", "mnemonic", "助记词", "seed words",
    "recovery words", "seed", *PHRASE_SHORT,
)  # fmt: skip
"""Beside these, a row of words is."""
LOGIN_WORDS = ("credential", "zugangsdaten", "identifiants", "credencial", "凭证", "凭据", "認証情報")
"""Behind these stands a name, and a password."""
RECOVERY_WORDS = (
    "backup code", "recovery code", "recovery key", "einmalcode", "wiederherstellungscode", "code de secours",
    "código de respaldo", "código de recuperación", "резервный код", "резервные коды", "备用码", "恢复码",
    "バックアップコード", "백업 코드",
)  # fmt: skip
"""Beside these, groups of letters and digits are."""

CODE_WORDS = (
    "pin code", "pin-code", "pincode", "door code", "gate code", "alarm code", "access code", "entry code",
    "unlock code", "safe code", "lock code", "security code", "verification code", "sim pin", "card pin",
    "safe combination", "lock combination", "alarm pin", "screen lock", "one-time code", "2fa code", "mfa code",
    "türcode", "pin-nummer", "geheimzahl", "code pin", "code secret", "code d'accès", "código pin",
    "código de acceso", "пин-код", "пинкод", "код доступа", "验证码", "开门密码", "门禁密码", "取款密码",
    "暗証番号", "確認コード", "인증번호", "keypad", "digicode", "code de la porte", "code du portail",
    "haustürcode", "codice del cancello", "código de la puerta", "código del portón", "код от домофона",
    "код домофона", "код от двери", "大门密码", "도어락", "disarm", "guard code", "login code", "keybox", "key box",
    "lockbox", "schlüsselbox", "schlüsseltresor", "kapı kodu", "portkod", "dörrkod", "dørkode", "ovikoodi",
    "kapukód", "luggage lock", "bike lock", "padlock", "sign-in code", "homekit code", "pairing code", "setup code",
    "manual code", "combo", "zahlenkombination", "combinaison", "combinación", "комбинация", "код от подъезда",
    "код подъезда", "код в подъезд", "kod do bramy", "kod do drzwi", "kod do domofonu", "kod do alarmu",
    "code de l'alarme", "code du garage", "code du parking", "code de l'immeuble", "código del garaje",
    "código de la alarma", "codice della porta", "codice allarme", "garagencode", "alarmcode", "提取码", "解压码",
    "取件码", "暗码", "현관 비번", "출입 코드", "पिन", "ओटीपी", "الرقم السري", "رقم سري", "رمز الدخول", "رمز الباب",
    "رمز الخزنة", "קוד כניסה", "קוד לדלת", "קוד הדלת", "קוד לכספת", "קוד סודי", "mã pin", "mã mở", "mã cửa", "mã két",
    "kode pintu", "kode brankas", "kode gerbang", "kombinasi", "kasa kodu", "alarm kodu", "giriş kodu", "kód od",
    "kód ke", "kód na", "kód do", "pin kód", "pinkód", "nyckelbox", "nyckelskåp", "nøgleboks", "nøkkelboks",
    "nøkkelkode", "nøglekode", "larmkod", "alarmkode", "portkode", "avainkoodi", "avainlaatik", "hälytyskoodi",
    "kod alarmu", "kod do sejfu", "szyfr do", "пін-код", "пінкод", "код від", "код дверей", "код от сейфа",
    "код за врата", "код за аларм", "κωδικός της πόρτας", "κωδικός πόρτας", "κωδικός συναγερμού", "πιν της",
    "รหัสประตู", "รหัสตู้เซฟ", "ドアコード", "入室コード", "비밀코드", "출입번호", "门禁码", "cod de acces", "codul de la",
    "codul pentru", "código do portão", "código do alarme", "código do cofre", "toegangscode", "deurcode",
    "zahlenkombi", "combination", "unifi voucher", "guest voucher", "wifi voucher",
    "kluiscode", "sleutelkluis", "sleutelkastje", "codice della cassaforte", "combinazione",
)  # fmt: skip
CODE_SHORT = ("pin", "cvv", "cvc", "otp", "puk", "tan")

HARMLESS_BEFORE = (
    "primary", "foreign", "partition", "sort", "sorting", "cache", "public", "idempotency", "row", "group", "unique",
    "index", "dict", "map", "lookup", "record", "arrow", "enter", "hot", "shortcut", "natural", "surrogate",
    "composite", "per", "max", "num", "total", "prompt", "completion", "input", "output", "usage", "special", "eos",
    "bos", "pad", "stop", "page", "next", "cancellation", "lexer", "parser", "object", "storage", "dedup", "config",
    "translation", "i18n", "registry", "json", "yaml", "column", "join", "model", "random", "numpy", "torch",
    "global", "fixed", "hash", "key", "issue", "tracking", "message", "metadata", "session", "thread", "chat",
    "decision", "conflict",
)  # fmt: skip
"""Before `key`, `token`, `seed`, ... these make something else of it."""

HARMLESS_AFTER = (
    "count", "counts", "limit", "limits", "usage", "type", "types", "field", "fields", "length", "len", "max", "min",
    "name", "names", "url", "uri", "path", "paths", "file", "files", "folder", "dir", "policy", "policies", "expires",
    "expiry", "expired", "expire", "expiration", "at", "ttl", "version", "format", "size", "budget", "manager",
    "store", "prefix", "suffix", "rotation", "used", "per", "id", "ids", "ring", "board", "word", "words", "value",
    "error", "errors", "reset", "page", "form", "input", "manager", "strength", "hint", "rules", "rule", "scanning",
    "scanner", "window", "stream", "bucket", "rate", "endpoint", "provider", "service", "server", "state", "status",
    "table", "column", "index", "ref", "refs", "arn", "kind", "mode", "class", "level", "levels", "total", "counter",
    "handling", "start", "end", "started", "ended", "cost", "costs", "price", "required", "enabled", "disabled",
    "invalid", "label", "labels", "title", "help", "message", "messages", "description", "tooltip", "prompt", "text",
    "caption", "confirm", "confirmation", "button", "btn", "link", "notice", "toast", "heading", "subtitle",
)  # fmt: skip
"""Behind a telling word, in the same name: `token_count`, `password_field`."""

PLACEHOLDERS = (
    "changeme", "change_me", "change-me", "placeholder", "redacted", "removed", "hidden", "masked", "required",
    "optional", "string", "str", "text", "none", "null", "nil", "true", "false", "undefined", "unknown", "empty",
    "missing", "invalid", "incorrect", "wrong", "correct", "valid", "expired", "reset", "forgotten", "dummy",
    "sample", "example", "foobar", "foo", "bar", "todo", "tbd", "n/a", "default", "value", "secret", "password",
    "passwd", "token", "user", "username", "admin", "root", "yes", "no", "on", "off", "bytes", "bool", "boolean",
    "int", "integer", "pass", "uuid", "object", "array", "secretstr", "any", "self", "encrypted", "hashed", "plaintext",
    "literal", "protected", "private", "public", "internal", "shared", "generated", "random", "rotated", "stored",
    "needed", "managed", "automatic", "bearer", "basic", "digest", "oauth", "oauth2", "header", "cookie", "field",
    "input", "the", "your", "same", "below", "above", "here", "there", "this", "that", "not", "never", "always",
    "only", "also", "login", "account", "email", "manager", "session", "personal", "project", "strong", "weak",
    "short", "long", "safe", "unsafe", "secure", "insecure", "env", "environment", "variable", "vault", "keychain",
    "keyring", "file", "config", "settings", "rotation", "monthly",
)  # fmt: skip
"""What stands where a secret would, and is none."""

PLACEHOLDER_PARTS = (
    "your_", "your-", "<your", "my_secret", "example", "placeholder", "redacted", "xxxxx", "****", "...", "…", "____",
    "changeme", "dummy", "sample", "insert_", "insert-", "replace_", "replace-", "todo", "-here", "_here", "${", "{{",
    "os.environ", "process.env", "getenv", "fetch_env", "secretkeyref", "env:", "vault:", "op://", "keyring:", "file:",
    "ssm:", "aws-sm:", "arn:", "••••", "●●●●", "1234567890abcdef", "abcdefghijkl", "deadbeef", "not-a-", "not_a_",
    "fake",
)  # fmt: skip

DIGEST_WORDS = (
    "sha", "sha1", "sha256", "sha-256", "sha512", "sha384", "md5", "hash", "digest", "checksum", "commit", "etag",
    "blake2", "blake2b", "blake3", "crc", "fingerprint", "revision", "rev", "blob", "tree", "merge", "parent",
    "integrity", "image", "layer", "ksuid", "ulid", "nanoid", "cuid", "uuid", "guid",
    "cursor", "nonce", "verification", "modulus", "exponent", "signature", "x5c", "x5t", "n", "x", "y",
    "nextpagetoken", "continuation", "content",
    "base64", "cid", "ipfs", "thumbprint", "sum", "h1", "publickey", "pubkey", "id", "ids", "identifier", "peer",
    "channel", "challenge", "gclid", "fbclid", "msclkid", "p", "b", "bh", "x25519", "deps", "node", "topic",
)  # fmt: skip
"""Just before a run of hex or base64, these say that it is a digest."""

QUIET_KEYS = (
    "id", "ids", "uuid", "guid", "hash", "digest", "sha", "sha256", "md5", "etag", "checksum", "cursor", "signature",
    "commit", "fingerprint", "ref", "refs", "parent", "parents", "requestid", "messageid", "sessionid", "parentuuid",
    "leafuuid", "tooluseid", "integrity", "revision", "nonce", "path", "file", "cwd", "image", "data", "thumbnail",
)  # fmt: skip
"""Last words of JSON keys whose values are random and no secret, unless they have a secret's format."""

HARMLESS_PREFIXES = (
    "toolu_", "msg_", "req_", "call_", "chatcmpl-", "resp_", "run_", "thread_", "asst_", "file-", "file_", "step_",
    "mem_", "evt_", "rec_", "ses_", "sess_", "usr_", "org_", "org-", "proj_", "srvtoolu_", "batch_", "item_", "rs_",
    "fc_", "ws_", "cus_", "pi_", "ch_", "price_", "prod_", "sub_", "in_", "il_", "pm_", "txn_", "ssh-rsa",
    "ssh-ed25519", "sha256-", "sha512-", "sha384-", "sha256:", "sha1-", "h1:", "SHA256:", "AAAAB3NzaC1",
    "AAAAC3NzaC1", "age1", "AC", "MIIBIjANBgkq", "MIGfMA0G", "MFkwEwYH", "MHYwEAYH", "MFYwEAYH", "MCowBQYDK2",
    "RWQ", "Qm", "AgA", "AgB", "xpub", "ypub", "zpub", "AAMk", "Q1", "WebKitFormBoundary", "re_", "dp_", "si_",
    "seti_", "src_", "card_", "ba_", "acct_", "po_", "tr_", "cs_", "plan_", "promo_", "link_", "INBOX.", "z6Mk",
)  # fmt: skip
"""With these begin random names that are shown to everybody."""

FILES_AS_BASE64 = (
    "iVBORw0KGgo", "R0lGOD", "/9j/", "UklGR", "H4sI", "UEsDB", "JVBERi0", "SUQz", "T2dnUw", "AGFzbQ", "f0VMR", "TVqQ",
    "KLUv", "PD94bWw", "d09G", "AAEAAAA", "AAAAIGZ0eX", "Qlpo", "/Td6WFo",
)  # fmt: skip
"""So begin images, archives, documents, fonts, sounds and programs."""
