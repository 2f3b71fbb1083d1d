"""Any server that speaks OpenAI's embeddings interface: `POST {url}/embeddings`. **Texts leave this machine**, so what
is held is never given to it: `Model.remote` says so, and `vectors.embed` asks.

Source: https://platform.openai.com/docs/api-reference/embeddings; llama.cpp, Ollama, vLLM and others answer the same.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from memferry.embedder import Model
from memferry.errors import ConfigError, EmbedderBroken
from memferry.recall.embed.base import unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIMEOUT_S = 60.0
LARGEST_ANSWER = 256 << 20
MAX_TOKENS = 8192
_PORTS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
_HINTS = {401: "check recall.api_key", 403: "check recall.api_key", 404: "check recall.model and recall.endpoint_model"}


class Endpoint:
    """An `Embedder`. One connection, opened when it is first asked and again after it was cut; a thread at a time."""

    def __init__(self, url: str, name: str, *, key: str | None = None, batch: int = 32) -> None:
        """`url`: up to and without `/embeddings`. `name`: the model's there. `key`: the bearer token itself."""
        self._address = checked(url)
        self._name = name
        self._key = key
        self._batch = batch
        self._line: http.client.HTTPConnection | None = None
        self._identity: Model | None = None
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"Endpoint({self._address.hostname}, {self._name})"

    @property
    def model(self) -> Model:
        """See `Embedder`. How long its vectors are is found out by asking once."""
        if self._identity is None:
            dimensions = self._vectors(["dimensions"]).shape[1]
            self._identity = Model(self._name.lower(), "", dimensions, MAX_TOKENS, remote=True)
        return self._identity

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`. EmbedderBroken: no answer, or a wrong one."""
        import numpy as np

        if not texts:
            return np.zeros((0, self.model.dimensions), np.float32)
        parts = [self._vectors(texts[at : at + self._batch]) for at in range(0, len(texts), self._batch)]
        return np.vstack(parts)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """See `Embedder`."""
        row: NDArray[np.float32] = self._vectors([text])[0]
        return row

    def close(self) -> None:
        """See `Embedder`."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # many servers refuse an empty text, and one of blanks alone has no direction
        body = {"model": self._name, "input": [text.strip() or "." for text in texts], "encoding_format": "float"}
        try:
            with self._turn:
                answer = json.loads(self._post(json.dumps(body).encode()))
        except ValueError as error:
            raise self._broken("its answer is not JSON") from error
        return self._rows(answer, len(texts))

    def _rows(self, answer: Any, count: int) -> NDArray[np.float32]:
        """In the order of the texts, whatever the order of the answer."""
        import numpy as np

        try:
            found = {int(one["index"]): one["embedding"] for one in answer["data"]}
            rows = np.array([found[number] for number in range(count)], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken("its answer holds other vectors than were asked for") from error
        dimensions = self._identity.dimensions if self._identity else rows.shape[-1]
        if rows.shape != (count, dimensions) or not dimensions or not np.isfinite(rows).all():
            raise self._broken("its vectors have another length than before, or are none")
        return unit(rows)

    def _post(self, body: bytes) -> bytes:
        """Once more after a line that was cut: a server ends idle ones, and asking twice changes nothing."""
        if self._line is not None:
            try:
                return self._exchange(body)
            except (OSError, http.client.HTTPException):
                self.close()
        try:
            return self._exchange(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._broken(f"it does not answer ({type(error).__name__})") from error

    def _exchange(self, body: bytes) -> bytes:
        if self._line is None:
            host = self._address.hostname or ""
            self._line = _PORTS[self._address.scheme](host, self._address.port, timeout=TIMEOUT_S)
        self._line.request("POST", f"{self._address.path.rstrip('/')}/embeddings", body, self._headers())
        with self._line.getresponse() as response:
            answer = response.read(LARGEST_ANSWER)
            if response.status != http.HTTPStatus.OK:
                self.close()
                raise self._broken(f"it says {response.status} {response.reason}", _HINTS.get(response.status, ""))
            return answer

    def _headers(self) -> Mapping[str, str]:
        plain = {"Content-Type": "application/json", "Accept": "application/json"}
        return plain | ({"Authorization": f"Bearer {self._key}"} if self._key else {})

    def _broken(self, problem: str, hint: str = "") -> EmbedderBroken:
        """Never with a text, the key or a path, which may carry one."""
        return EmbedderBroken(
            f"the embedding endpoint at {self._address.hostname}: {problem}",
            hint=hint or "check recall.model, and whether that server runs",
        )


def checked(url: str) -> SplitResult:
    """The parts of a URL that can be used; ConfigError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("recall.model: this URL cannot be used", hint="write http://HOST:PORT/v1 or https://HOST/v1")
    if parts.username or parts.password or parts.query:
        raise ConfigError("recall.model: a URL must not hold a password or a key", hint="use recall.api_key: env:NAME")
    return parts
