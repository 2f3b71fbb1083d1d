"""The vectors of the index: in step with it, nobody else's, and gone when a record is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from memferry.embedder import Model
from memferry.errors import EmbedderBroken
from memferry.model import Put, Retract
from memferry.recall.base import Passage
from memferry.recall.embed import feed, wire
from memferry.recall.embed.base import Question, asked
from memferry.recall.embed.child import Worker
from memferry.recall.embed.feed import embed
from memferry.recall.embed.minilm import MiniLM
from memferry.recall.embed.registry import Choice
from memferry.recall.embed.search import Search
from memferry.recall.embed.tier import ByModel
from memferry.recall.index import HELD_FROM, PASSAGE_BITS, Index, remove
from memferry.recall.vectors import LONGEST_RECORD, Vectors
from tests.recall import records
from tests.recall.endpoints import Server

TEXTS = (
    "The cat is called Luna.",
    "We moved the database to the new cluster.",
    "Anna painted a sunrise over the lake.",
    "The invoice was paid on Friday.",
)


class Counting(Worker):
    """Counts the texts that its model reads."""

    read = 0

    def call(self, request: wire.Request, kind: type) -> wire.Answer:  # type: ignore[override, type-arg]
        if isinstance(request, wire.Read):
            self.read += len(request.texts)
        return super().call(request, kind)


@pytest.fixture(scope="module")
def worker() -> Iterator[Counting]:
    found = Counting(Choice())
    yield found
    found.close()


@pytest.fixture
def counting(worker: Counting) -> Counting:
    worker.read = 0
    return worker


class Place:
    """An index of documents in a folder, and its vectors. Whoever made it closes it."""

    def __init__(self, folder: Path, *, held: bool = False) -> None:
        self.path = folder / "index.db"
        self.held = held
        self.file = folder / "vectors.db"
        self.open()

    def open(self) -> None:
        self.index = Index(self.path, held=self.held)
        self.vectors = Vectors(self.file, self.path, held=self.held)

    def close(self) -> None:
        self.vectors.close()
        self.index.close()

    def write(self, texts: Sequence[str], first: int = 1) -> None:
        self.index.add("m", [put(seq, text) for seq, text in enumerate(texts, first)])

    def withdraw(self, *seqs: int) -> None:
        ops = tuple(("m", seq) for seq in seqs)
        self.index.add("m", [Retract(seq=1000 + seqs[0], hlc=f"{1000:016x}", space="s", ops=ops)])

    def ids(self) -> list[int]:
        return [row[0] for row in self.vectors._rows("select id from passage order by id")]


def put(seq: int, text: str) -> Put:
    return Put(seq=seq, hlc=f"{seq:016x}", space="s", key=f"k{seq}", file=f"f{seq}.md", position=0,
               digest=f"{seq:064x}", format="document", body=text)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.close()


def test_what_is_asked_finds_what_shares_no_word(place: Place, worker: Worker) -> None:
    place.write(TEXTS)
    assert embed(place.vectors, worker) == len(TEXTS)
    found = ByModel(worker, [place.file])
    near = found.nearest("What is the name of the kitten?", 2)
    assert max(near, key=near.__getitem__) >> PASSAGE_BITS == 1
    scores = found.scores("an artist at dawn", [Passage(n << PASSAGE_BITS, text) for n, text in enumerate(TEXTS, 1)])
    assert scores.index(max(scores)) == 2


def test_on_a_full_disk_the_model_finds_what_was_there_and_later_what_comes(place: Place, worker: Worker) -> None:
    """No file may grow: for SQLite that is a disk without room. The connection that adds has left its log empty."""
    resource = pytest.importorskip("resource")
    place.write(TEXTS[:3])
    embed(place.vectors, worker)
    place.close()
    model, question = worker.model, _asked("the kitten")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        search = Search(place.file)
        found = [search.of(model), len(search.nearest(question, 9))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        place.open()
    with contextlib.closing(search):
        assert found == [True, 3]
        place.write(TEXTS[3:], first=4)
        embed(place.vectors, worker)
        assert search.of(model)
        assert len(search.nearest(question, 9)) == len(TEXTS)


def test_a_file_of_vectors_that_is_damaged_is_an_error_and_not_the_end_of_the_model(
    place: Place, worker: Worker, tmp_path: Path
) -> None:
    place.write(TEXTS)
    embed(place.vectors, worker)
    running = worker.running
    damaged = tmp_path / "damaged.vectors"
    damaged.write_bytes(place.file.read_bytes()[:5000] + b"\xff" * 20_000)
    with pytest.raises(EmbedderBroken, match="cannot be used"):
        ByModel(worker, [damaged]).nearest("the kitten", 2)
    assert worker.running == running
    assert ByModel(worker, [place.file]).nearest("the kitten", 2)


def _asked(text: str) -> Question:
    return asked(MiniLM(), text)


def test_only_what_is_new_is_read(place: Place, counting: Counting) -> None:
    place.write(TEXTS)
    embed(place.vectors, counting, limit=3)
    assert (counting.read, place.vectors.waiting()) == (3, 1)
    assert [id_ >> PASSAGE_BITS for id_ in place.ids()] == [2, 3, 4], "the newest first"
    embed(place.vectors, counting)
    place.write(["One more."], first=9)
    embed(place.vectors, counting)
    embed(place.vectors, counting)
    assert counting.read == len(TEXTS) + 1


def test_a_text_that_stands_twice_is_read_once(tmp_path: Path, counting: Counting) -> None:
    """And again when the index was made again: its ids are others then, its texts the same."""
    place = Place(tmp_path)
    same, cat = "# Same\n\nSame text.", "# Pets\n\nThe cat is called Luna."
    place.write([same, same, cat])
    embed(place.vectors, counting)
    assert (counting.read, len(place.ids())) == (2, 3)
    place.close()
    remove(place.path)
    place.open()
    place.write([cat, same])
    assert embed(place.vectors, counting) == 2
    assert counting.read == 2
    assert [id_ >> PASSAGE_BITS for id_ in place.ids()] == [1, 2], "the third is not kept"
    near = ByModel(counting, [place.file]).nearest("kitten", 2)
    assert max(near, key=near.__getitem__) >> PASSAGE_BITS == 1
    place.close()


def test_what_is_withdrawn_is_gone_from_the_file(place: Place, worker: Worker) -> None:
    place.write(TEXTS)
    embed(place.vectors, worker)
    vector, tokens = place.vectors._rows(
        "select vector, packed from passage join tokens using (id) where id = ?", 2 << PASSAGE_BITS
    )[0]
    found = ByModel(worker, [place.file])
    assert 2 << PASSAGE_BITS in found.nearest("database", 4)
    place.withdraw(2)
    assert place.vectors.prune() == 1
    assert 2 << PASSAGE_BITS not in found.nearest("database", 4), "the worker notices"
    assert found._worker.call(wire.Compare([str(place.file)], "database", [2 << PASSAGE_BITS]), wire.Scored).ids == []
    for file in place.file.parent.glob("vectors.db*"):
        content = file.read_bytes()
        assert vector not in content
        assert tokens[:64] not in content


def test_a_changed_record_is_read_again(place: Place, counting: Counting) -> None:
    place.write(TEXTS)
    embed(place.vectors, counting)
    place.index.add("m", [_newer()])
    embed(place.vectors, counting)
    place.vectors.prune()
    assert counting.read == len(TEXTS) + 1
    assert len(place.ids()) == len(TEXTS)


def _newer() -> Put:
    return Put(seq=77, hlc=f"{77:016x}", space="s", key="k1", file="f1.md", position=0, digest="7" * 64,
               format="document", body="A dog named Rex.")  # fmt: skip


def test_a_long_record_is_one_answer_with_many_passages(place: Place, worker: Worker) -> None:
    filler = "Nothing of interest happened on this day, and nobody wrote about it. " * 30
    place.write([TEXTS[1], f"{filler}\n\nThe kitten of my sister is called Luna.\n\n{filler}"])
    embed(place.vectors, worker)
    near = ByModel(worker, [place.file]).nearest("name of the cat", 1)
    assert [id_ >> PASSAGE_BITS for id_ in near] == [2]
    assert len(place.ids()) > 3


def test_a_record_of_a_megabyte_costs_no_more_than_a_chapter(place: Place) -> None:
    place.write(["word and word again. " * 50_000])
    assert len(place.vectors.unread(1)) == LONGEST_RECORD


def test_vectors_of_another_model_are_never_compared(place: Place, worker: Worker) -> None:
    place.write(TEXTS)
    embed(place.vectors, worker)
    other = Model("other", "ab", 384, 256)
    place.vectors.belong_to(other)
    found = ByModel(worker, [place.file])
    assert found.nearest("kitten", 4) == {}
    assert found.scores("kitten", [Passage(1 << PASSAGE_BITS, TEXTS[0])]) == (), "full text answers meanwhile"
    assert place.ids() == []
    assert embed(place.vectors, worker) == len(TEXTS)
    assert len(found.nearest("kitten", 4)) == len(TEXTS)


def test_a_damaged_file_is_made_again(place: Place, worker: Worker) -> None:
    place.write(TEXTS)
    place.vectors.close()
    place.file.write_bytes(b"not a database, not at all" * 500)
    place.vectors = Vectors(place.file, place.path)
    assert embed(place.vectors, worker) == len(TEXTS)


def test_few_passages_without_vectors_do_no_harm_many_say_nothing(place: Place, worker: Worker) -> None:
    place.write(TEXTS)
    embed(place.vectors, worker)
    found = ByModel(worker, [place.file])
    passages = [Passage(n << PASSAGE_BITS, "") for n in (1, 2, 3, 90)]
    scores = found.scores("What is the name of the kitten?", passages)
    assert min(scores[1:3]) <= scores[3] < scores[0]
    assert found.scores("kitten", [Passage(n << PASSAGE_BITS, "") for n in (1, 90, 91)]) == ()


def test_what_follows_counts_with_what_it_follows(place: Place, worker: Worker) -> None:
    """An answer repeats little of the question before it."""
    lines = ["Who takes care of the parrot in summer?", "Peter does.", "The train was late again.", "So it was."]
    place.index.add("m", [records.put(n, line, speaker="Ada") for n, line in enumerate(lines, 1)])
    embed(place.vectors, worker)
    scores = ByModel(worker, [place.file]).scores("parrot", [Passage(n << PASSAGE_BITS, "") for n in (1, 2, 3, 4)])
    assert scores[0] > scores[1] > max(scores[2], scores[3]) + 0.2


# -- what is held


def test_what_is_held_never_goes_to_a_server(tmp_path: Path) -> None:
    """Nothing at all is sent for it, not even to ask how long the server's vectors are."""
    with Server() as server:
        worker = Worker(Choice(server.url, "m"))
        held = Place(tmp_path, held=True)
        held.write(["PRIVATE-CANARY is the password."])
        assert embed(held.vectors, worker) == 0
        assert held.ids() == []
        assert server.heard == []
        carried = Place(_made(tmp_path / "carried"))
        carried.write(["Something that anybody may know."])
        assert embed(carried.vectors, worker) == 1
        assert "CANARY" not in "".join(server.texts)
        assert any("anybody" in text for text in server.texts)
        worker.close()
        held.close()
        carried.close()


def test_what_is_held_is_found_where_its_file_is_searched(tmp_path: Path, worker: Worker) -> None:
    held, carried = Place(_made(tmp_path / "held"), held=True), Place(tmp_path)
    held.write(["My sister is expecting a baby."])
    carried.write(TEXTS)
    for place in (held, carried):
        embed(place.vectors, worker)
    everything = ByModel(worker, [carried.file, held.file]).nearest("pregnancy", 10)
    shareable = ByModel(worker, [carried.file]).nearest("pregnancy", 10)
    assert max(everything, key=everything.__getitem__) >> PASSAGE_BITS >= HELD_FROM
    assert all(id_ >> PASSAGE_BITS < HELD_FROM for id_ in shareable)
    held.close()
    carried.close()


def test_a_server_that_fails_halfway_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 16)
    with Server() as server:
        worker = Worker(Choice(server.url, "m"))
        place = Place(tmp_path)
        place.write([f"text number {n}" for n in range(40)])
        good = server.answer
        server.answer = lambda request: good(request) if len(server.heard) < 3 else (503, b"")
        with pytest.raises(EmbedderBroken, match="503"):
            embed(place.vectors, worker)
        assert 0 < len(place.ids()) < 40
        server.answer = good
        embed(place.vectors, worker)
        assert len(place.ids()) == 40
        worker.close()
        place.close()


def test_progress_is_told(place: Place, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 16)
    told: list[tuple[str, int, int]] = []
    place.write([f"note {n}" for n in range(20)])
    report: Callable[[str, int, int], None] = lambda what, done, total: told.append((what, done, total))  # noqa: E731
    embed(place.vectors, worker, progress=report)
    assert told == [("vectors", 16, 20), ("vectors", 20, 20)]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
