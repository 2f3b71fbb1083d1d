"""The limits that docs/configuration.md lists, and those of the vault format, are those of the code."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from memferry.agent.files import gzipped
from memferry.agent.intake import wholes
from memferry.agent.sending.deliver import MAX_ATTEMPTS
from memferry.backends import local, names
from memferry.backends.ssh import tree
from memferry.backends.ssh.config import MAX_HOPS, settings_from
from memferry.backends.vault import segments
from memferry.backends.vault.head import MAX_HEAD_BYTES
from memferry.backends.vault.segments import Limits
from memferry.config import Agent, node, rulestext
from memferry.errors import ConfigError
from memferry.formats import front_matter, strict_json
from memferry.memory import names as topics
from memferry.memory.lifecycle import leasing
from memferry.policies import lineage, overlap, rules
from memferry.policies.secrets import records
from memferry.recall import words

VAULT = Limits()


def page(name: str) -> str:
    return (Path(__file__).resolve().parent.parent / "docs" / name).read_text("utf-8")


def mib(size_bytes: int) -> str:
    return f"{size_bytes >> 20} MiB"


def test_the_limits_are_those_of_the_code() -> None:
    archive = (
        f"{gzipped.LIMIT_BYTES >> 30} GiB, and beyond {mib(gzipped._FREE_BYTES)} {gzipped.LARGEST_RATIO} times its size"
    )
    limits = {
        "a document, or a JSON array": mib(wholes.LIMIT_BYTES),
        "a packed ledger (`.gz`), unpacked": archive,
        "a line of a ledger": f"{mib(Agent().max_line_bytes)}, which is `agent.max_line_bytes`",
        "a record as an [operation](vault-format.md#operations)": mib(VAULT.line_bytes),
        "a file's path in its space": f"{names.MAX_PATH_BYTES:,} bytes, {names.MAX_NAME_BYTES} for each part",
        "objects and arrays within each other": f"{strict_json.MAX_DEPTH}",
        "objects and keys in a line or an entry": f"{strict_json.MOST_NAMES:,}",
        "a number in JSON": f"{sys.int_info.default_max_str_digits:,} digits, and the range of a double",
        "front matter": f"{front_matter.MAX_CHARS:,} characters",
        "ids that a record names": f"{lineage.MOST_NAMES:,}",
        "an id that a record names": f"{lineage.LONGEST_NAME} characters",
        "words of a document or an unlabelled record": f"{overlap.MOST_PLACES:,}",
        "a record in which something deserves a look for secrets": f"{records.LARGEST >> 10} KiB,"
        f" {records.MOST_STRINGS:,} strings",
        "the name of a machine, space, backend or topic": f"{topics.LONGEST} characters",
        "the name of a rule": "40 characters",
        "stars in one name of a rule's path": f"{rules.MOST_STARS}",
        "`connect_timeout_s` and `request_timeout_s` of `ssh`": "600 s",
        "jump hosts before a server": f"{MAX_HOPS}",
        "objects in a vault": f"{local.MAX_NAMES:,} in a folder, over SSH in all; {local.MAX_DEPTH} folders deep",
        "words of a question that are looked up": f"{words.MOST_TERMS}",
        "how long a [lease](memory.md) lasts": f"{leasing.LONGEST_S // 86400:,} days",
    }
    section = page("configuration.md").split("\n## Limits\n")[1]
    _, *documented = re.findall(r"^\| (.+?) \| (.+?) \|", section, re.MULTILINE)
    assert dict(documented) == limits
    assert (tree.MAX_NAMES, tree.MAX_DEPTH) == (local.MAX_NAMES, local.MAX_DEPTH)
    assert f"after {MAX_ATTEMPTS} attempts" in section


def test_the_limits_of_the_vault_format_are_those_of_the_code() -> None:
    said = " ".join(page("vault-format.md").split())
    stored, raw = mib(VAULT.stored_bytes), mib(VAULT.raw_bytes)
    assert f"a head of {mib(MAX_HEAD_BYTES)}, a segment of {stored} stored and {raw} decompressed" in said
    assert f"a line of {mib(VAULT.line_bytes)}." in said
    assert f"a window of more than {mib(segments._MAX_WINDOW_BYTES)}" in said


@pytest.mark.parametrize(("length", "fits"), [(40, True), (41, False)])
def test_the_name_of_a_rule_is_as_long_as_documented(length: int, fits: bool) -> None:
    assert bool(rulestext._NAME.fullmatch("a" * length)) == fits


@pytest.mark.parametrize(("length", "fits"), [(64, True), (65, False)])
def test_other_names_are_as_long_as_documented(length: int, fits: bool) -> None:
    assert bool(node.NAME.fullmatch("a" * length)) == fits
    assert bool(topics._NAME.fullmatch("a" * length)) == fits


@pytest.mark.parametrize(("timeout_s", "fits"), [(600, True), (601, False)])
def test_a_timeout_is_as_long_as_documented(timeout_s: int, fits: bool) -> None:
    with nullcontext() if fits else pytest.raises(ConfigError, match="at most 600 seconds"):
        settings_from("nas", {"host": "nas", "path": "memory", "connect_timeout_s": timeout_s})
