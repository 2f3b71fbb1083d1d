"""One suite for the index, on every engine: the one in this process, and a server's interface."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from memferry.backends.base import Backend, Informed, Probed, Readable, Tended, Verifiable
from memferry.backends.qdrant.engine import Engine
from memferry.backends.qdrant.points import CHUNK_CHARACTERS
from memferry.backends.qdrant.settings import Settings
from memferry.errors import EmbedderBroken, InvalidValue, TargetRefused, TransientError
from memferry.model import Identity, Put
from tests.backends.qdrant_double import Double, serving
from tests.backends.qdrant_site import Counting, Site
from tests.backends.samples import ME, OTHER, Journal, note, place, put, puts, retract, seal

REAL = "MEMFERRY_QDRANT_URL"
"""Where a real server answers, which may be filled and emptied: `http://localhost:6333`."""


def version(seq: int, text: str, *, key: str = "k", hlc: int | None = None, space: str = "notes") -> Put:
    """A version of a document."""
    made = put(seq, text, key=key, file=f"{key}.md", format="document", space=space)
    return msgspec.structs.replace(made, hlc=f"{seq if hlc is None else hlc:016x}")


class IndexContract:
    """Every sentence of `Backend`, `Verifiable` and `Tended`, as an index keeps them."""

    settings: Settings

    def open_engine(self) -> Engine:
        pytest.fail("say how to open the engine")

    def site(self, me: Identity = ME, *, embedder: Counting | None = None, **settings: object) -> Site:
        changed = self.settings._replace(**settings)  # type: ignore[arg-type]
        site = Site(self.open_engine, changed, me, embedder=embedder)
        self.sites.append(site)
        return site

    def successor(self, before: Site, **how: object) -> Site:
        """The same machine in its next process."""
        before.index.close()
        after = self.site(before.me, **how)  # type: ignore[arg-type]
        after.journal, after.through, after.refused = before.journal, before.through, before.refused
        return after

    @pytest.fixture(autouse=True)
    def _closed(self) -> Iterator[None]:
        self.sites: list[Site] = []
        yield
        for site in self.sites:
            site.index.close()

    # -- deliver

    def test_it_is_what_it_says(self) -> None:
        backend: Backend = self.site().index
        assert backend.name == "hub"
        assert all(isinstance(backend, power) for power in (Informed, Verifiable, Tended, Probed))
        assert not isinstance(backend, Readable)

    def test_what_is_delivered_is_held(self) -> None:
        site = self.site()
        assert site.deliver(*puts(1, 3)) == (3, {})
        assert site.deliver(put(4)) == (4, {})
        assert site.documents() == [f"remember number {seq}" for seq in range(1, 5)]

    def test_only_records_become_points(self) -> None:
        site = self.site()
        site.deliver(put(1), note(2, mtime_ns=5), place(3, "copy.jsonl", 0, 1))
        assert site.seqs() == [1]

    def test_the_layout_is_the_one_of_the_official_server(self) -> None:
        site = self.site()
        told = msgspec.structs.replace(put(1), key="k", type="fact", tags=("a", "b"), ts="2026-11-20T10:00:00Z")
        site.deliver(told)
        ((id_, payload),) = site.payloads().items()
        assert uuid.UUID(id_).version == 5
        assert payload["document"] == "remember number 1"
        expected = {"space": "notes", "key": "k", "file": "log.jsonl", "type": "fact", "tags": ["a", "b"]}
        assert {**payload["metadata"], **expected} == payload["metadata"]
        assert payload["metadata"]["origin"] == "laptop"
        look = site.engine.look(site.settings.collection)
        assert look is not None
        assert dict(look.vectors) == {"fast-hashed-ngrams": 512}

    def test_delivering_again_changes_and_embeds_nothing(self) -> None:
        embedder = Counting()
        site = self.site(embedder=embedder)
        first = site.deliver(*puts(1, 9))
        before, embedded = site.payloads(), embedder.texts
        site.through = 0
        assert site.deliver() == first
        assert site.payloads() == before
        assert embedder.texts == embedded == 9

    def test_a_new_version_replaces_the_old_one(self) -> None:
        site = self.site()
        site.deliver(version(1, "the first"), version(2, "another", key="other"))
        site.deliver(version(3, "the second"), version(4, "the third"))
        assert site.documents() == ["another", "the third"]

    def test_a_version_that_was_refused_and_comes_late_replaces_nothing(self) -> None:
        site = self.site()
        site.deliver(version(2, "new"))
        assert site.again(version(1, "old")) == (1, {})
        assert site.documents() == ["new"]

    def test_what_is_missing_in_the_middle_is_taken_later(self) -> None:
        site = self.site()
        site.deliver(*[op for op in puts(1, 9) if op.seq not in (2, 5)])
        for seq in (5, 2):
            site.again(put(seq))
        assert site.seqs() == list(range(1, 10))

    def test_a_state_from_a_backup_goes_on_although_its_seqs_begin_earlier(self) -> None:
        site = self.site()
        site.deliver(version(7, "of a time that was lost", hlc=70))
        site.again(version(5, "written after the backup was put back", hlc=90))
        assert site.documents() == ["written after the backup was put back"]

    def test_a_clock_that_was_put_right_goes_on(self) -> None:
        site = self.site()
        site.deliver(version(1, "by a clock that was ahead", hlc=90))
        site.deliver(version(2, "by the clock put right", hlc=10))
        assert site.documents() == ["by the clock put right"]

    def test_a_lost_state_doubles_nothing(self) -> None:
        """The machine's id is new then, for there was nothing to know the old one by; its installation is not."""
        before = self.site()
        before.deliver(*puts(1, 5))
        ids = set(before.payloads())
        before.index.close()
        after = self.site(msgspec.structs.replace(ME, id="c" * 32))
        after.deliver(*puts(1, 5))
        assert set(after.payloads()) == ids
        assert after.findings() == []

    def test_two_machines_with_one_key_have_a_point_each(self) -> None:
        mine = self.site()
        mine.deliver(version(1, "mine"))
        mine.index.close()
        theirs = self.site(OTHER)
        theirs.deliver(version(1, "theirs"))
        theirs.deliver(retract(2, 1, machine=OTHER.id))
        assert theirs.documents() == []
        theirs.index.close()
        again = self.site()
        again.through = 1
        again.journal = Journal([seal([version(1, "mine")])])
        assert again.documents() == ["mine"]
        assert again.findings() == []

    # -- retract

    def test_a_retraction_deletes_the_points(self) -> None:
        site = self.site()
        site.deliver(*puts(1, 9))
        site.deliver(retract(10, 2, 9))
        assert site.seqs() == [1, 3, 4, 5, 6, 7, 8]
        assert site.findings() == []

    def test_a_retraction_names_all_versions_and_deletes_the_newest(self) -> None:
        site = self.site()
        site.deliver(version(1, "first"))
        site.deliver(version(2, "second"))
        site.deliver(retract(3, 1, 2))
        assert site.payloads() == {}

    def test_a_retraction_in_the_same_batch_lets_nothing_through(self) -> None:
        embedder = Counting()
        site = self.site(embedder=embedder)
        site.write(*puts(1, 3))
        site.index.inform(site.known())
        site.index.deliver([seal(puts(1, 3)), seal([retract(4, 2)])])
        assert site.seqs() == [1, 3]
        assert embedder.texts == 2

    def test_what_was_written_anew_stays(self) -> None:
        site = self.site()
        site.deliver(version(1, "first"))
        site.deliver(retract(2, 1), version(3, "again"))
        assert site.documents() == ["again"]

    def test_another_machines_record_is_withdrawn_here_at_once(self) -> None:
        theirs = self.site(OTHER)
        theirs.deliver(version(1, "theirs"), version(2, "kept", key="other"))
        theirs.index.close()
        mine = self.site()
        mine.deliver(retract(1, 1, machine=OTHER.id))
        mine.index.close()
        assert self.site(OTHER).documents() == ["kept"]

    def test_a_retraction_before_anything_else_is_no_obstacle(self) -> None:
        assert self.site().deliver(retract(1, 5)) == (1, {})

    # -- long records

    def test_a_record_of_a_megabyte_is_many_points_and_one_record(self) -> None:
        site = self.site()
        text = "".join(f"Sentence number {number} of a long text. " for number in range(30_000))[: 1 << 20]
        site.deliver(version(1, text))
        payloads = site.payloads().values()
        assert len(payloads) >= (1 << 20) // CHUNK_CHARACTERS
        assert "".join(site.documents()) == text
        assert {one["metadata"]["key"] for one in payloads} == {"k"}
        assert {one["metadata"]["chunks"] for one in payloads} == {len(payloads)}
        site.deliver(retract(2, 1))
        assert site.payloads() == {}

    def test_a_record_that_becomes_shorter_leaves_no_pieces(self) -> None:
        site = self.site()
        site.deliver(version(1, "long " * CHUNK_CHARACTERS))
        assert len(site.payloads()) > 1
        site.deliver(version(2, "short"))
        assert site.documents() == ["short"]
        assert site.findings() == []

    def test_texts_of_all_kinds_come_back(self) -> None:
        texts = ["", "   ", "笔记本电脑" * 700, "a\0b\u2028c", "🦊 fox", "x" * 5000]
        site = self.site()
        site.deliver(*(version(seq, text, key=f"k{seq}") for seq, text in enumerate(texts, 1)))
        assert "".join(site.documents()) == "".join(texts)
        assert site.findings() == []

    # -- verify and repair

    def test_a_whole_index_has_no_findings(self) -> None:
        site = self.site()
        assert site.findings() == []
        site.deliver(*puts(1, 300))
        assert site.findings() == []

    def test_what_somebody_did_is_found_and_put_right(self) -> None:
        site = self.site()
        site.deliver(*puts(1, 20), version(21, "long " * 3000))
        whole = site.payloads()
        ids, engine, collection = sorted(whole), site.engine, site.settings.collection
        engine.delete(collection, ids[:3])
        self.spoil(site, ids[3])
        stranger = {"document": "x", "metadata": {**whole[ids[4]]["metadata"], "seq": 999}}
        self.plant(site, str(uuid.uuid4()), stranger)
        engine.flush()
        harmed = site.payloads()
        problems = sorted(finding.problem for finding in site.findings())
        assert problems == ["changed", "foreign", "removed", "removed", "removed"]
        assert site.payloads() == harmed, "verify writes nothing"
        assert all(one.done for one in site.repair())
        assert site.payloads() == whole
        assert site.findings() == []

    def test_findings_tell_no_content(self) -> None:
        site = self.site()
        site.deliver(version(1, "the secret plan", key="secret-key"))
        site.engine.delete(site.settings.collection, list(site.payloads()))
        assert "secret" not in json.dumps([finding._asdict() for finding in site.findings()])

    def test_what_is_on_its_way_or_was_refused_is_no_finding(self) -> None:
        site = self.site()
        site.deliver(*puts(1, 5), version(6, "before"))
        site.refused.add(2)
        site.engine.delete(site.settings.collection, [id_ for id_, one in site.payloads().items()
                                                      if one["metadata"]["seq"] == 2])  # fmt: skip
        site.write(put(7), version(8, "after"), retract(9, 3))
        assert site.findings() == []

    def test_others_points_are_none_of_its_business(self) -> None:
        theirs = self.site(OTHER)
        theirs.deliver(*puts(1, 3))
        theirs.index.close()
        mine = self.site()
        mine.deliver(put(1))
        assert mine.findings() == []

    def test_a_lost_collection_is_told_and_filled_again(self) -> None:
        before = self.site()
        before.deliver(*puts(1, 5))
        whole = before.payloads()
        before.index.close()
        self.destroy(before)
        site = self.successor(before)
        with pytest.raises(TransientError, match="has no collection") as caught:
            site.deliver(put(6))
        assert "verify --repair" in caught.value.hint
        assert len(site.findings()) == 5
        assert all(one.done for one in site.repair())
        assert site.payloads().items() >= whole.items()
        site.deliver()
        assert site.seqs() == list(range(1, 7))

    # -- models

    def test_another_model_adds_its_vectors_beside_the_old_ones(self) -> None:
        before = self.site()
        before.deliver(*puts(1, 600))
        payloads = before.payloads()
        other = Counting("Makers/Other-Model", 64)
        site = self.successor(before, embedder=other)
        site.deliver(put(601))
        assert site.tend() == 3
        look = site.engine.look(site.settings.collection)
        assert look is not None
        assert dict(look.vectors) == {"fast-hashed-ngrams": 512, "fast-other-model": 64}
        assert other.texts == 601
        assert not list(site.engine.scroll(site.settings.collection, site.index._ready().drawing.home,
                                           without="fast-other-model"))  # fmt: skip
        assert len(list(site.engine.scroll(site.settings.collection, site.index._ready().drawing.home,
                                           without="fast-hashed-ngrams"))) == 1  # fmt: skip
        assert site.payloads().items() >= payloads.items()
        assert site.findings() == []

    def test_repair_gives_all_points_the_new_vectors_at_once(self) -> None:
        before = self.site(payload="none")
        before.deliver(*puts(1, 5))
        site = self.successor(before, embedder=Counting("other", 64), payload="none")
        site.deliver(put(6))
        assert {finding.problem for finding in site.findings()} == {"changed"}
        assert all(one.done for one in site.repair())
        assert site.findings() == []
        assert site.tend() == 0

    def test_vectors_of_another_size_are_refused_and_nothing_is_lost(self) -> None:
        before = self.site()
        before.deliver(put(1))
        site = self.successor(before, embedder=Counting("hashed-ngrams", 64))
        with pytest.raises(TargetRefused, match="512 dimensions, the model 64") as caught:
            site.deliver(put(2))
        assert "collection" in caught.value.hint
        site.embedder = Counting()
        assert site.deliver() == (2, {})
        assert site.seqs() == [1, 2]

    def test_without_a_model_it_waits(self) -> None:
        site = self.site()

        def broken() -> Counting:
            raise EmbedderBroken("the weights are damaged", hint="install them again")

        site.write(put(1))
        site.index.inform(site.known()._replace(embedder=broken))
        with pytest.raises(TransientError, match="the weights are damaged") as caught:
            site.index.deliver(site.journal.rows)
        assert caught.value.hint == "install them again"

    # -- settings

    def test_without_texts_nothing_can_be_read(self) -> None:
        site = self.site(payload="none")
        told = msgspec.structs.replace(put(1), type="fact", tags=("hush",), ts="2026-11-20T10:00:00Z")
        site.deliver(told, version(2, "the secret plan", key="secret-key"))
        shown = json.dumps(site.payloads())
        for hidden in ("remember", "secret", "notes", "log.jsonl", "hush", "fact", "2026", told.key, told.digest):
            assert hidden not in shown
        assert set(next(iter(site.payloads().values()))) == {"metadata"}
        assert site.findings() == []
        site.deliver(retract(3, 1))
        assert site.seqs() == [2]

    def test_no_digest_is_shown(self) -> None:
        site = self.site()
        told = put(1)
        assert told.key == told.digest
        site.deliver(told)
        assert told.digest not in json.dumps(site.payloads())

    def test_a_collection_for_each_space(self) -> None:
        site = self.site(per_space=True)
        site.deliver(version(1, "one", space="atlas"), version(2, "two", space="notes"))
        atlas, notes = f"{site.settings.collection}-atlas", f"{site.settings.collection}-notes"
        assert (site.documents(atlas), site.documents(notes)) == (["one"], ["two"])
        assert site.findings() == []
        site.deliver(retract(3, 1, space="atlas"))
        assert (site.documents(atlas), site.documents(notes)) == ([], ["two"])
        assert site.index.capacity().points == 1

    # -- the rest

    def test_capacity(self) -> None:
        site = self.site()
        assert site.index.capacity().points in (0, None)
        site.deliver(*puts(1, 3))
        capacity = site.index.capacity()
        assert capacity.points == 3
        assert capacity.used_bytes is None or capacity.used_bytes > 0

    def test_what_cannot_be_written_as_utf_8_is_no_reason_to_wait(self) -> None:
        site = self.site()
        site.deliver(put(1))
        with pytest.raises(InvalidValue):
            self.plant(site, str(uuid.uuid4()), {"document": "\ud800"})
        assert site.seqs() == [1]

    def test_probe(self) -> None:
        assert all(probe.good for probe in self.site().index.probe())

    def test_close(self) -> None:
        site = self.site()
        site.deliver(put(1))
        site.index.close()
        for call in (lambda: site.index.deliver([]), site.index.capacity, site.index.tend, lambda: site.findings()):
            with pytest.raises(ValueError, match="closed"):
                call()

    # -- what a subclass knows to do

    def spoil(self, site: Site, id_: str) -> None:
        """Change the text of a point behind memferry's back."""
        payload = {**site.payloads()[id_], "document": "something else"}
        self.plant(site, id_, payload)

    def plant(self, site: Site, id_: str, payload: dict[str, object]) -> None:
        from memferry.backends.qdrant.engine import Point

        row = [1.0] + [0.0] * 511
        site.engine.put(site.settings.collection, "fast-hashed-ngrams", [Point(id_, payload, row)])

    def destroy(self, site: Site) -> None:
        """Remove all collections."""
        pytest.fail("say how to remove a collection")


def _renamed(me: Identity, id_: str) -> Identity:
    return msgspec.structs.replace(me, id=id_)


class TestEmbedded(IndexContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hub"
        self.settings = Settings(path=str(self.path))

    def open_engine(self) -> Engine:
        from memferry.backends.qdrant.embedded import Embedded

        return Embedded(self.path, name="hub")

    def destroy(self, site: Site) -> None:
        import shutil

        shutil.rmtree(self.path / site.settings.collection)


class TestServer(IndexContract):
    """The interface of a server, played by the double."""

    @pytest.fixture(autouse=True)
    def _double(self) -> Iterator[None]:
        self.double = Double()
        with serving(self.double) as url:
            self.settings = Settings(url=url)
            yield
        assert self.double.strange == []

    def open_engine(self) -> Engine:
        from memferry.backends.qdrant.server import Server

        return Server(self.settings, name="hub")

    def destroy(self, site: Site) -> None:
        self.double.collections.clear()

    def test_many_points_are_searched_by_small_vectors(self) -> None:
        site = self.site(quantize_above=10)
        site.deliver(*puts(1, 9))
        site.tend()
        assert not self.double.collections["memory"].quantized
        site.deliver(*puts(10, 12))
        site.tend()
        assert self.double.collections["memory"].quantized

    def test_what_is_searched_by_is_indexed(self) -> None:
        self.site().deliver(put(1))
        assert self.double.collections["memory"].indexes["metadata.ts"] == "datetime"
        assert len(self.double.collections["memory"].indexes) == 8


if REAL in os.environ:

    class TestRealServer(IndexContract):
        """The same on a real one: `docker compose -f config/qdrant-compose.yaml up -d`."""

        @pytest.fixture(autouse=True)
        def _server(self) -> Iterator[None]:
            self.settings = Settings(url=os.environ[REAL], collection=f"memferry-test-{uuid.uuid4()}")
            yield
            self.destroy(Site(self.open_engine, self.settings))

        def open_engine(self) -> Engine:
            from memferry.backends.qdrant.server import Server

            return Server(self.settings, name="hub")

        def destroy(self, site: Site) -> None:
            from qdrant_client import QdrantClient

            client = QdrantClient(url=self.settings.url)
            for one in client.get_collections().collections:
                if one.name.startswith(self.settings.collection):
                    client.delete_collection(one.name)
            client.close()

else:

    @pytest.mark.skip(reason=f"set {REAL} to run the suite on a real server: docs/qdrant.md")
    def test_on_a_real_server() -> None:
        pytest.fail("skipped")
