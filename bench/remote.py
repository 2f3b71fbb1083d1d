"""A vault on a server: a real sshd on this computer, near and 50 ms away. Needs sshd, ssh and rsync."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import median

from bench import corpus
from bench.figures import Figure
from bench.lab import DEBOUNCE_MS, Bench, Lab, polled
from bench.program import Failed, Ran, Service, timed
from bench.sizes import Sizes
from tests.backends import sshd
from tests.backends.sshd import Sshd
from tests.faults.proxy import Proxy

RECORDS = 20_000
AWAY_MS = 50
ROUND_TRIPS = 8
ANSWER_S = 60.0


def figures(lab: Lab, sizes: Sizes) -> Iterator[Figure]:
    """Pushing to a server, beside rsync and sftp over the same SSH."""
    with sshd.running(lab.empty("sshd")) as server:
        yield from _full(lab, server, min(RECORDS, sizes.records), min(5, sizes.rounds))
        for away_ms in (0, AWAY_MS):
            with Proxy(server.port, delay_s=away_ms / 2000) as line:
                yield from _one_record(lab, server, line.port, away_ms, sizes.appends)


# -- everything


def _full(lab: Lab, server: Sshd, count: int, rounds: int) -> Iterator[Figure]:
    benches = {encryption: _for_server(lab, server, count, encryption) for encryption in ("age", "none")}
    lab.say(f"pushes of {count:,} records")
    by_turns = [{encryption: _push(lab, bench) for encryption, bench in benches.items()} for _ in range(rounds)]
    first = {encryption: [turn[encryption] for turn in by_turns] for encryption in benches}
    whole = {encryption: _typical(whole for whole, _ in found) for encryption, found in first.items()}
    sent = _typical(sent for _, sent in first["age"])
    bench, name = benches["age"], f"push of {count:,} records to a server"
    rsync, put = _rsync(lab, bench, server), _put_s(lab, bench, server)
    for what, ran in ((f"{name}, from the ledger on", whole["age"]), (f"{name}, once they are read", sent)):
        yield Figure(what, ran.seconds, "s", "rsync -a of the ledger", rsync.seconds, at_most=1)
        yield Figure(f"{what}, processor time", ran.cpu_s, "s", "rsync -a of the ledger", rsync.cpu_s)
    yield Figure(f"{name}, once they are read", sent.seconds, "s", "sftp put of the ledger", put)
    yield Figure(f"{name}, encrypted", whole["age"].seconds, "s", "not encrypted", whole["none"].seconds, at_most=1.15)
    before = server.connections
    again = median(lab.program.memferry(bench.config, "push", "--json").seconds for _ in range(rounds))
    yield Figure("no-change push, connections", float(server.connections - before), "connections", at_most=0)
    rsync = _rsync(lab, bench, server, again=True)
    yield Figure("no-change push, whole command", again, "s", "rsync -a again", rsync.seconds)


def _for_server(lab: Lab, server: Sshd, count: int, encryption: str) -> Bench:
    name = f"remote-{encryption}"
    near: dict[str, object] = {"type": "local", "path": str(lab.folder / name / "near")}
    vault = server.home / name
    backends = {"near": near, "far": _backend(server, name, encryption=encryption)}
    return lab.records_for(name, count, vault, backends)


def _backend(server: Sshd, path: str, **more: object) -> dict[str, object]:
    (empty := server.folder / "ssh_config").touch()
    said = server.settings(path)._asdict() | {"ssh_config": str(empty)} | more
    return {"type": "ssh"} | {name: value for name, value in said.items() if value is not None}


def _push(lab: Lab, bench: Bench) -> tuple[Ran, Ran]:
    """A first push to the server; and, when the same was read for a folder near by, the one that only sends it."""
    _forget(bench)
    whole = lab.program.memferry(bench.config, "push", "--json", "--backend", "far")
    _forget(bench)
    lab.program.memferry(bench.config, "push", "--json", "--backend", "near")
    return whole, lab.program.memferry(bench.config, "push", "--json", "--backend", "far")


def _forget(bench: Bench) -> None:
    """As if it had never been synced: a log near by would be taken for that of a state that was lost."""
    bench.forget_sync()
    shutil.rmtree(bench.folder / "near", ignore_errors=True)


def _typical(runs: Iterable[Ran]) -> Ran:
    """The median of each figure."""
    several = list(runs)
    return several[0]._replace(
        seconds=median(one.seconds for one in several), cpu_s=median(one.cpu_s for one in several)
    )


def _ssh(server: Sshd) -> Sequence[str]:
    return (
        "-F", os.devnull, "-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "IdentitiesOnly=yes",
        "-i", str(server.user_key),
    )  # fmt: skip


def _rsync(lab: Lab, bench: Bench, server: Sshd, *, again: bool = False) -> Ran:
    """`rsync -a`, three times; each into an empty folder, unless it goes there `again`."""
    shell = " ".join(["ssh", "-p", str(server.port), *_ssh(server)])
    found = []
    for number in range(3):
        target = f"{sshd.USER}@127.0.0.1:{server.home}/rsync-{0 if again else number}"
        found.append(timed(["rsync", "-a", "-e", shell, f"{bench.space}/", target]))
    return _typical(found)


def _put_s(lab: Lab, bench: Bench, server: Sshd) -> float:
    batch = lab.folder / "put"
    batch.write_text(f"put {bench.ledger} {server.home}/put\n")
    command = ["sftp", "-q", "-b", str(batch), "-P", str(server.port), *_ssh(server), f"{sshd.USER}@127.0.0.1"]
    return median(timed(command).seconds for _ in range(3))


# -- one record


def _one_record(lab: Lab, server: Sshd, port: int, away_ms: int, appends: int) -> Iterator[Figure]:
    """From the end of an append to the head on the server's disk, with the service running."""
    known = server.folder / f"known_hosts-{port}"
    known.write_text(f"[127.0.0.1]:{port} {sshd.public(server.host_keys['ed25519'])}\n")
    name = f"remote-{away_ms}"
    backend = _backend(server, name, port=port, known_hosts=str(known))
    bench = lab.records_for(name, 1000, server.home / name, {"far": backend})
    lab.program.memferry(bench.config, "push", "--json")
    lab.say(f"records one by one, {away_ms} ms away")
    lines = corpus.cleared(5)
    with Service(lab.program, bench.config, bench.folder / "run.log") as service:
        _durable_ms(bench, service, next(lines))  # it is at work now
        found = [_durable_ms(bench, service, line) for line in islice(lines, min(appends, 50))]
    most = DEBOUNCE_MS + ROUND_TRIPS * away_ms if away_ms else None
    yield Figure(f"append to durable on a server {away_ms} ms away, p50", median(found), "ms", at_most=most)


def _durable_ms(bench: Bench, service: Service, line: bytes) -> float:
    head = bench.head()
    before = head.stat()
    with open(bench.ledger, "ab") as ledger:
        ledger.write(line)
    started = time.perf_counter()
    for _ in polled(ANSWER_S):
        now = head.stat()
        if (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
            return (time.perf_counter() - started) * 1000
        service.check()
    raise Failed(f"an appended line was not on the server after {ANSWER_S:g} s")
