import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from inspect import Parameter, signature
from itertools import groupby
from pathlib import Path
from typing import Any, cast, get_type_hints

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from services import __version__
from services.cli.lazy import LazyCommand
from services.cli.main import app, main
from services.cli.version import version_line
from services.cli.work.settings import setting_lines
from services.runtime.settings import Settings

ROOT = Path(__file__).parents[3]


def _commands(command: Any, name: Sequence[str] = ()) -> Iterator[list[str]]:
    """Every command's name; groups are not commands."""
    if isinstance(command, LazyCommand):
        command = command.load()
    if not isinstance(command, TyperGroup):
        yield list(name)
        return
    for word, below in command.commands.items():
        yield from _commands(below, [*name, word])


def _lazy_commands() -> list[LazyCommand]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    found = list(group.commands.values())
    assert all(isinstance(command, LazyCommand) for command in found)
    return cast("list[LazyCommand]", found)


def _command(words: Sequence[str]) -> Any:
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
        command = command.load() if isinstance(command, LazyCommand) else command
    return command


COMMANDS = list(_commands(get_command(app)))
CHANGING = {
    *("demo", "up", "run", "export", "training-set", "train", "whiten", "calibrate"),
    *("erase", "undo", "restore", "migrate", "broker fetch", "backup create"),
    *(f"mine {layout}" for layout in ("coco", "voc", "via", "auto")),
    *(f"ingest {what}" for what in ("images", "video", "coco", "voc", "via", "auto")),
    *(f"ingest {tool}" for tool in ("cvat", "datumaro", "label-studio", "yolo")),
    *(f"categories {act}" for act in ("map", "ignore", "unmap", "rematch", "load")),
    *("questions label", "questions choose", "cvat push", "cvat pull"),
    *(f"label-studio {act}" for act in ("setup", "push", "pull", "sync")),
    *(f"models {act}" for act in ("fill", "use", "export")),
    *("dead-letters replay", "dead-letters discard", "retention archive"),
    *("tokens create", "tokens rotate", "tokens revoke", "topics create", "topics alter"),
    "benchmark retrieval",
}
"""Commands that start, write or send something; all others only read."""
FOR_PROGRAMS = {"sample draw": "JSON", "topics acls": "commands of a shell"}
"""Commands that print nothing but what a program reads."""


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def _errors(
    arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int | str | None, str]:
    """The exit code and what is said on standard error, as a person sees it."""
    monkeypatch.setattr(sys, "argv", ["gazeloop", *arguments])
    with pytest.raises(SystemExit) as leaving:
        main()
    return leaving.value.code, capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(runner: CliRunner, command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_shows_how_it_is_called(runner: CliRunner, command: list[str]) -> None:
    output = runner.invoke(app, [*command, "--help"]).output
    _, found, examples = output.partition("Example")
    assert found
    assert f"{' '.join(command)}" in examples


def test_the_version_names_the_commit_of_a_checkout(runner: CliRunner) -> None:
    printed = runner.invoke(app, ["--version"]).output
    assert re.fullmatch(rf"gazeloop {re.escape(__version__)}( \([0-9a-f]{{12}}\))?\n", printed)
    assert f"ARG VERSION={__version__}\n" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_version_names_the_commit_that_an_image_was_built_from(tmp_path: Path) -> None:
    (tmp_path / "REVISION").write_text("0123456789abcdef\n")
    assert version_line(tmp_path) == f"gazeloop {__version__} (0123456789ab)"


def test_the_version_stands_alone_where_no_commit_is_known(tmp_path: Path) -> None:
    (tmp_path / "REVISION").touch()
    assert version_line(tmp_path) == f"gazeloop {__version__}"


def test_a_misspelt_setting_names_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = _errors(["--set", "embeder=resnet18", "settings"], monkeypatch, capsys)
    assert code == 2
    assert "GAZELOOP_EMBEDER: no such setting; is GAZELOOP_EMBEDDER meant?" in message


def test_help_names_every_command(runner: CliRunner) -> None:
    output = runner.invoke(app, ["--help"]).output
    for command in COMMANDS:
        assert command[0] in output


@pytest.mark.parametrize("command", _lazy_commands(), ids=lambda command: command.name)
def test_the_line_in_the_help_is_the_first_of_the_commands_own(command: LazyCommand) -> None:
    own = command.load().help or ""
    assert command.short_help == " ".join(own.partition("\n\n")[0].split())


def test_a_misspelt_command_names_the_one_that_is_meant(runner: CliRunner) -> None:
    result = runner.invoke(app, ["mien"])
    assert result.exit_code == 2
    assert "Did you mean 'mine'" in result.output


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("gazeloop in", "ingest"),
        ("gazeloop ingest co", "coco"),
        ("gazeloop mine coco --im", "--images"),
    ],
)
def test_the_shell_completes_commands_and_their_options(line: str, meant: str) -> None:
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['gazeloop']; from services.cli import main; main.main()",
        ],
        env=os.environ
        | {
            "_GAZELOOP_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split()) - 1),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    assert completed.stdout.split() == [meant]


_HELPS = """
import json, sys
from typer.testing import CliRunner
from services.cli.main import app

for words in json.loads(sys.argv[1]):
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, words
print(*sys.modules)
"""


def test_no_help_imports_what_its_command_does() -> None:
    groups = {tuple(words[:-1]) for words in COMMANDS}
    words = json.dumps([*COMMANDS, *groups])
    completed = subprocess.run(
        [sys.executable, "-c", _HELPS, words], check=True, capture_output=True, text=True
    )
    imported = set(completed.stdout.split())
    assert {"services.cli.mine_command", "services.cli.train_command"} <= imported
    assert not {"services.cli.work", "services.app.parts", "services.runtime"} & imported
    libraries = {"torch", "torchvision", "openvino", "scipy", "sklearn", "numba", "numpy", "PIL"}
    clients = {"pymongo", "qdrant_client", "qdrant_edge", "kafka", "aiokafka", "faust", "fastapi"}
    assert not {*libraries, *clients, "pycocotools", "httpx", "cvat_sdk"} & imported


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_that_only_reads_prints_json(words: list[str]) -> None:
    options = {option for parameter in _command(words).params for option in parameter.opts}
    line = " ".join(words)
    assert ("--json" in options) == (line not in CHANGING | FOR_PROGRAMS.keys())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_declares_what_the_function_that_does_it_takes(words: Sequence[str]) -> None:
    command = _command(words)
    declared = inspect.unwrap(command.callback)
    does = getattr(import_module(command.callback.done_by), declared.__name__)

    assert list(signature(does).parameters) == list(signature(declared).parameters)
    assert get_type_hints(does) == get_type_hints(declared)
    for parameter in signature(does).parameters.values():
        assert parameter.default is Parameter.empty, "the default is declared with the option"


@pytest.mark.parametrize(
    ("needed", "heavy"),
    [
        pytest.param(
            "services.app.topic_access", ["kafka", "pymongo", "numpy"], id="for what is derived"
        ),
        pytest.param("services.app.status", ["pymongo", "numpy"], id="for the status"),
        pytest.param("services.app.parts", ["numba"], id="for what is stored"),
    ],
)
def test_nothing_heavy_is_imported_that_is_not_needed(needed: str, heavy: list[str]) -> None:
    services = ["torch", "faust", "fastapi", "openvino", "PIL"]
    code = f"import sys, {needed}; print(*sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not {*heavy, *services} & set(completed.stdout.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_top_level_help_and_the_version_import_no_command(option: str) -> None:
    code = (
        "import sys; sys.argv = ['gazeloop', sys.argv[1]]; from services.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code, option], check=True, capture_output=True, text=True
    )
    imported = set(completed.stderr.split())
    heavy = {"torch", "faust", "numba", "kafka", "pymongo", "numpy", "pydantic", "fastapi"}
    assert not heavy & imported
    assert not [name for name in imported if name.endswith("_command")]


def test_settings_names_variables_that_are_nearly_a_setting_and_no_others(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAZELOOP_EMBEDER", "resnet18")
    monkeypatch.setenv("GAZELOOP_INGEST_SERVICE_PORT", "8000")
    monkeypatch.setenv("GAZELOOP_EMBEDDER", "resnet50")
    warnings = [
        line
        for line in runner.invoke(app, ["settings"]).output.splitlines()
        if "did you mean" in line
    ]
    assert warnings == ["GAZELOOP_EMBEDER is set but unknown; did you mean GAZELOOP_EMBEDDER?"]


def test_settings_lists_every_setting(runner: CliRunner) -> None:
    output = runner.invoke(app, ["settings"]).output
    for name in Settings.model_fields:
        assert f"GAZELOOP_{name.upper()}" in output


def test_every_setting_has_a_meaning() -> None:
    for line in setting_lines():
        assert len(line.meaning) > 10


def test_secrets_are_not_shown(runner: CliRunner) -> None:
    output = runner.invoke(app, ["--set", "qdrant_api_key=hush", "settings"]).output
    assert "hush" not in output
    assert "***" in output


def test_a_setting_given_by_hand_wins_over_the_environment(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAZELOOP_SPLIT_SEED", "11")
    output = runner.invoke(app, ["--set", "split_seed=12345", "settings"]).output
    assert "12345" in output


def test_settings_are_json_too_without_secrets(runner: CliRunner) -> None:
    arguments = ["--set", "qdrant_api_key=hush", "settings", "API_KEY", "--json"]

    (setting,) = json.loads(runner.invoke(app, arguments).stdout)

    assert setting["variable"] == "GAZELOOP_QDRANT_API_KEY"
    assert (setting["value"], setting["default"], setting["is_set"]) == ("***", "", True)


def test_the_key_in_a_receivers_address_is_not_shown(runner: CliRunner) -> None:
    address = "lab=https://lab.example/hooks/hush?token=hush"
    arguments = ["--set", f"webhooks={address}", "settings", "GAZELOOP_WEBHOOKS"]

    (line,) = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)

    assert line["value"] == "lab=https://lab.example/***"
    assert "hush" not in runner.invoke(app, arguments).stdout


def test_settings_are_listed_by_group_and_found_by_it(runner: CliRunner) -> None:
    groups = [line.group for line in setting_lines()]
    assert all(groups)
    assert len({*groups}) == len([*groupby(groups)]) == 19

    found = json.loads(runner.invoke(app, ["settings", "retention", "--json"]).stdout)

    assert "GAZELOOP_RETENTION_PER_MINUTE" in {line["variable"] for line in found}
    assert "GAZELOOP_RETAIN_VERDICTS_DAYS" in {line["variable"] for line in found}
    shown = runner.invoke(app, ["settings", "retention"]).stdout.splitlines()
    assert any(line.strip() == "Retention" for line in shown)


def test_settings_are_found_by_their_meaning(runner: CliRunner) -> None:
    found = runner.invoke(app, ["settings", "seconds", "--json"]).stdout
    assert "GAZELOOP_EPOCH_S" in found
    assert "GAZELOOP_SPLIT_SEED" not in found


@pytest.mark.parametrize("text", ["operating_score=7", "no_such_setting=1"])
def test_a_wrong_setting_is_one_clear_line(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = _errors(["--set", text, "settings"], monkeypatch, capsys)
    assert code == 2
    assert f"GAZELOOP_{text.partition('=')[0].upper()}" in message
    assert "gazeloop settings" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "command",
    [
        ["report"],
        ["families"],
        ["label-errors"],
        ["models", "list"],
        ["questions", "list"],
        ["dead-letters", "list"],
        ["shortlists", "held-back"],
        ["export", "--format", "coco", "--to", "out"],
        ["export", "--format", "csv", "--to", "out"],
    ],
    ids=" ".join,
)
def test_a_folder_that_holds_nothing_is_said_at_once_and_not_made(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, message = _errors(["--data", "misspelt", *command], monkeypatch, capsys)
    assert code == 1
    assert "nothing is stored in the data folder misspelt" in message
    assert not list(tmp_path.iterdir())


def test_tables_take_no_filters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "--format", "csv", "--to", "out", "--what", "annotated", "--images"]
    code, message = _errors(command, monkeypatch, capsys)
    assert code == 2
    assert "csv writes everything: leave out --what, --images" in " ".join(message.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--what", "annotated", "--category", "car", "--proposals"],
            "annotated frames, without needles: leave out --category, --proposals",
        ),
        (
            ["--circled", "wet crossings", "--what", "accepted", "--detector", "ods@1"],
            "the frames are named: leave out --what, --detector",
        ),
        (
            ["--sample", "june.json", "--drive", "d1", "--proposals"],
            "--sample names frames alone: leave out --drive, --proposals",
        ),
    ],
)
def test_an_export_takes_no_option_that_would_select_nothing(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "june.json").write_text("{}")
    code, printed = _errors(
        ["export", "--format", "coco", "--to", "out", *options], monkeypatch, capsys
    )
    assert code == 2
    assert message in " ".join(printed.replace("│", "").split())


@pytest.mark.parametrize("layout", ["coco", "voc", "via"])
@pytest.mark.parametrize(
    "options",
    [
        ["--accept-partial"],
        ["--tags", "file"],
        ["--predictions", "file", "--detector", "ods@1", "--iou-type", "segm"],
    ],
)
def test_corrections_take_no_option_of_what_is_not_published_of_them(
    layout: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder").mkdir()
    truth = {"coco": ["--ground-truth", "file"], "voc": ["--annotations", "folder"]}
    source = [*truth.get(layout, ["--annotations", "file"]), "--source", "reannotation"]

    code, printed = _errors(["ingest", layout, *source, *options], monkeypatch, capsys)

    assert code == 2
    named = ", ".join(option for option in options if option.startswith("--"))
    message = f"publishes only the ground truth of whole frames: leave out {named}"
    assert message in " ".join(printed.replace("│", "").split())


@pytest.mark.parametrize("command", ["mine", "ingest"])
@pytest.mark.parametrize(
    "option",
    [
        ["--iou-type", "segm"],
        ["--class-names", "file"],
        ["--predictions-format", "yolo-txt"],
        ["--detector", "ods@1"],
        ["--categories", "file"],
        ["--detector", "ods@1", "--iou-type", "segm"],
    ],
)
def test_an_option_of_results_needs_them(
    command: str,
    option: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("{}")
    data_set = ["coco", "--images", ".", "--ground-truth", "file"]

    code, printed = _errors([command, *data_set, *option], monkeypatch, capsys)

    assert code == 2
    message = f"{', '.join(option[::2])}: about a detector's results"
    assert message in " ".join(printed.replace("│", "").split())


_LOGGING = """
import sys
from contextlib import asynccontextmanager

import structlog

import services.app.parts as parts
from services.cli import main
from services.contracts.errors import NothingStored


@asynccontextmanager
async def joined(settings):
    structlog.get_logger().warning("seen_in_the_log")
    raise NothingStored("enough is seen")
    yield


parts.joined = joined
main.main()
"""


@pytest.mark.parametrize("command", [["questions", "list"], ["shortlists", "held-back"]])
def test_what_is_logged_does_not_stand_among_what_is_printed(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mongodb").mkdir()
    completed = subprocess.run(
        [sys.executable, "-c", _LOGGING, "--data", str(tmp_path), *command],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "enough is seen" in completed.stderr
    assert "seen_in_the_log" not in completed.stdout + completed.stderr
    (log,) = (tmp_path / "logs").iterdir()
    assert "seen_in_the_log" in log.read_text()


def test_a_setting_without_a_value_is_wrong_usage(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--set", "operating_score", "settings"]).exit_code == 2


def test_debug_shows_where_an_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["gazeloop", "--debug", "--set", "operating_score=7", "settings"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(Exception, match="OPERATING_SCORE"):
        main()


def test_predictions_without_a_detector_are_wrong_usage(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text("{}")
    arguments = ["mine", "coco", "--images", str(tmp_path)]
    arguments += ["--ground-truth", str(tmp_path / "gt.json")]
    result = runner.invoke(app, [*arguments, "--predictions", str(tmp_path / "gt.json")])
    assert result.exit_code == 2
    assert "--detector" in result.output


@pytest.mark.parametrize("name", ["ods", "ods@", "@1", "a b@1", "ods@1@2"])
def test_a_detector_is_a_name_and_a_version(runner: CliRunner, tmp_path: Path, name: str) -> None:
    (tmp_path / "gt.json").write_text("{}")
    arguments = ["mine", "coco", "--images", str(tmp_path), "--detector", name]
    arguments += ["--ground-truth", str(tmp_path / "gt.json")]
    result = runner.invoke(app, [*arguments, "--predictions", str(tmp_path / "gt.json")])
    assert result.exit_code == 2


def test_status_where_nothing_runs_says_how_to_start(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(app, ["--data", str(tmp_path), "status"])
    assert result.exit_code == 1
    assert "gazeloop up" in result.output
