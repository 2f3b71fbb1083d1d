"""init: from what lies on this machine to a configuration."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memferry import config, places
from memferry.cli.command import Answer, Command, absolute
from memferry.cli.output import count, problem, rows, shares, size
from memferry.config import yamltext
from memferry.errors import ConfigError

if TYPE_CHECKING:
    from memferry.agent.commands.discover import Forecast, Found

SAMPLE = "sample"
SAMPLE_MACHINE = "sample-machine"


class _Plan(NamedTuple):
    """What to write. `path`: the configuration; `vault`: its backend; `state` None: the platform's folder; paths as the
    configuration shall show them. `passed_over`: what else was looked at, and why there is nothing of it."""

    path: Path
    found: Sequence[Found]
    vault: str
    state: str | None
    machine: str | None
    passed_over: Mapping[Path, str]


def _describe(parser: ArgumentParser) -> None:
    parser.add_argument("folders", metavar="PATH", nargs="*", help="where to look (default: the current folder)")
    parser.add_argument("--vault", metavar="DIR", help="keep the vault there (default: the platform's data folder)")
    parser.add_argument("--sample", metavar="DIR", help="try it out: put a sample memory, a vault and a state into DIR")
    parser.add_argument("--transcripts", action="store_true", help="include Claude Code's transcripts")
    parser.add_argument("--force", action="store_true", help="overwrite an existing configuration")


def _init(arguments: Namespace) -> Answer:
    from memferry.agent.commands.discover import foretell
    from memferry.agent.service import opened
    from memferry.cli import logs
    from memferry.cli.progress import Progress

    logs.configure(arguments.verbose)
    plan = _sample(arguments) if arguments.sample else _own(arguments)
    text = render(plan.found, machine=plan.machine, state=plan.state, vault=plan.vault)
    _refuse_another(plan.path, text, arguments.force)
    settings = config.build(yamltext.parse(text, str(plan.path)), plan.path, os.environ, state=arguments.state)
    with Progress(sys.stderr, "init") as progress:
        forecasts = [foretell(space, settings, progress) for space in settings.spaces]
    _write(plan.path, text)
    with opened(settings, "init") as agent:
        machine = agent.me.name
    document = _document(plan, settings, machine, forecasts)
    return Answer(document, _lines(document))


# -- what to configure


def _own(arguments: Namespace) -> _Plan:
    from memferry.agent.commands.discover import discover

    folders = [Path(absolute(folder)) for folder in arguments.folders or ["."]]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise ConfigError(
            f"{missing[0]} is not a folder", hint="give folders that hold memory, or a project with some in it"
        )
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude"))
    brands = Path(os.path.expanduser("~/.claude-marketing/brands"))
    asked = bool(arguments.folders)
    found, passed_over = discover(folders, claude, asked=asked, transcripts=arguments.transcripts, brands=brands)
    if not found:
        looked = ", ".join([*(f"{folder} ({why})" for folder, why in passed_over.items()), str(claude), str(brands)])
        hint = "name the folder: `memferry init PATH`, or try it: `memferry init --sample demo`"
        raise ConfigError(f"found no memory that memferry knows in {looked}", hint=hint)
    vault = absolute(arguments.vault) if arguments.vault else places.vault_folder(os.environ)
    return _Plan(config.locate(os.environ, arguments.config), found, _short(vault), None, None, passed_over)


def _sample(arguments: Namespace) -> _Plan:
    """Everything inside one folder, so that it can be thrown away again."""
    from memferry.agent.commands.discover import discover

    base = Path(absolute(arguments.sample))
    path = config.locate({}, arguments.config or str(base / places.CONFIG_FILE))
    target = base / SAMPLE
    if not target.exists():
        _copy_sample(target)
    found = [
        one._replace(space=one.space._replace(path=Path(os.path.relpath(one.space.path, path.parent))))
        for folder in sorted(target.iterdir())
        for one in discover([folder], target / "none", asked=True, transcripts=False).found
    ]
    here = Path(os.path.relpath(base, path.parent))
    vault = os.path.abspath(arguments.vault) if arguments.vault else (here / "vault").as_posix()
    return _Plan(path, found, vault, (here / "state").as_posix(), SAMPLE_MACHINE, {})


def _copy_sample(target: Path) -> None:
    from importlib.resources import as_file, files
    from shutil import copytree

    with as_file(files("memferry") / SAMPLE) as source:
        copytree(source, target)


# -- the configuration as text


def render(found: Sequence[Found], *, machine: str | None, state: str | None, vault: str) -> str:
    """A commented configuration. `vault`, `state`: as they shall stand there; None: the default, commented out."""
    lines = [
        "# memferry: what to carry, and where to. `memferry sync-memory` does it once, `memferry run` continuously.",
        "# Every setting: docs/configuration.md. Relative paths are relative to this file's folder.",
        "",
        f"machine: {machine}" if machine else "# machine: laptop             # default: the computer's name",
        f"state: {_quoted(state)}" if state else "# state: ~/.local/state/memferry    # default: the platform's folder",
        "",
        "# What to carry. Use the same name for the same memory on every machine; the path may differ.",
        "spaces:",
        *(_space_line(one) for one in found),
        "",
        "# Where to carry it. Every backend gets everything that is not held.",
        "backends:",
        f"  vault: {{type: local, path: {_quoted(vault)}}}",
        "",
        "# What stays at home, besides what is labelled private, refers to such a record, or repeats it.",
        "policy:",
        "  rules: []",
        "",
        "# How the agent works; these are the defaults.",
        "# agent:",
        *(f"#   {line}" for line in default_lines()),
    ]
    return "\n".join(lines) + "\n"


def default_lines() -> Iterator[str]:
    """The `agent` settings with their defaults, as YAML."""
    for name, value in config.Agent()._asdict().items():
        if isinstance(value, config.DeletionGuard):
            yield f"{name}: {{fraction: {value.fraction:g}, count: {value.count}}}"
        else:
            yield f"{name}: {int(value)}"


def _space_line(found: Found) -> str:
    space = found.space
    format_ = f", format: {space.format}" if space.format else ""
    return f"  - {{name: {_quoted(space.name)}, path: {_quoted(_short(str(space.path)))}{format_}}}    # {found.what}"


def _short(path: str) -> str:
    """With `~` where it lies in the home folder: the file then works for the same user elsewhere."""
    home = os.path.expanduser("~")
    inside = os.path.isabs(path) and home != os.sep and path.startswith(home + os.sep)
    return "~" + path[len(home) :] if inside else path


def _quoted(text: str) -> str:
    """As YAML, which reads JSON's texts."""
    return json.dumps(text, ensure_ascii=False)


def _refuse_another(path: Path, text: str, force: bool) -> None:
    """Writing the same configuration again is no harm."""
    if not force and path.exists() and config.read_text(path) != text:
        raise ConfigError(f"{path} is there already", hint="edit it, or overwrite it with --force")


def _write(path: Path, text: str) -> None:
    from memferry.durable import write_durably

    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("a path is not UTF-8 and cannot stand in a configuration", hint="rename it") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)


# -- the answer


def _document(plan: _Plan, settings: config.Config, machine: str, forecasts: Sequence[Forecast]) -> dict[str, Any]:
    spaces = [
        {"name": space.name, "path": str(space.path), "what": one.what, **forecast._asdict()}
        for space, one, forecast in zip(settings.spaces, plan.found, forecasts, strict=True)
    ]
    return {
        "config": str(settings.source),
        "machine": machine,
        "state": str(settings.state),
        "spaces": spaces,
        "passed_over": [{"path": str(folder), "reason": why} for folder, why in plan.passed_over.items()],
        "backends": {name: backend["path"] for name, backend in settings.backends.items()},
        "next": _next(settings.source),
    }


def _next(path: Path) -> str:
    """The next command: without --config where memferry finds the file by itself."""
    if path == config.locate(os.environ):
        return "memferry sync-memory"
    near = os.path.relpath(path)
    return f"memferry --config {near if len(near) < len(str(path)) else path} sync-memory"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    spaces = document["spaces"]
    yield f"found {count(len(spaces), 'memory')}:"
    yield from rows(((one["name"], one["what"], one["path"]) for one in spaces), "  ")
    for one in document["passed_over"]:
        yield f"passed over {one['path']}: {one['reason']}"
    yield "a sync would send:"
    yield from rows(((one["name"], _forecast(one)) for one in spaces), "  ")
    for one in spaces:
        for file, reason in one["failed"].items():
            yield from problem(f"{file}: {reason}", "")
    yield f"wrote {document['config']} (machine {document['machine']}, vault {document['backends']['vault']})"
    yield f"next: {document['next']}"


def _forecast(space: Mapping[str, Any]) -> str:
    carried = f"{count(space['records'], 'record')} of {count(space['files'], 'file')} ({size(space['size_bytes'])})"
    held = sum(space["held"].values())
    return f"{carried}, {held:,} held: {shares(space['held'])}" if held else f"{carried}, none held"


COMMANDS = {
    "init": Command(
        "Looks for memory in the current or the given folders and up to three levels below (.memory,\n"
        "spark-memory, .opencode/memory), and for Claude Code's and brand memory; shows what would be sent;\n"
        "and writes a configuration with a vault on this computer. It never prompts.",
        (
            "memferry init",
            "memferry init ~/code/atlas ~/notes --vault /mnt/backup/memferry",
            "memferry init --sample demo",
        ),
        _describe,
        _init,
    )
}
