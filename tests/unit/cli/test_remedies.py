import errno
from pathlib import Path

import pytest

from services.app.remedies import explained
from services.contracts import errors


def _every(kind: type[errors.GazeloopError]) -> list[type[errors.GazeloopError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _every(below))]


@pytest.mark.parametrize("kind", _every(errors.Transient) + _every(errors.Invalid))
def test_what_may_be_tried_again_says_so(kind: type[errors.GazeloopError]) -> None:
    assert "again" in explained(kind("the store is away"))


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (errors.InvalidSettings("GAZELOOP_SPLIT_SEED: too odd"), "gazeloop settings"),
        (errors.PartEnded("mongod ended"), "starts it again"),
        (errors.DiskFull("12 MB left"), "Make room"),
        (errors.MissingTopic("no topic gaze.frames"), "Then run the same command again"),
        (errors.MissingBroker("no Java"), "JAVA_HOME"),
        (errors.MissingWeights("no file"), "GAZELOOP_WEIGHTS"),
        (
            errors.MissingWeights("no ONNX file"),
            "GAZELOOP_EMBEDDER names a network or a whole file",
        ),
        (errors.NothingStored("in ./gazeloop-data"), "--data"),
        (errors.NoBackup("/mnt holds no backup"), "gazeloop backup list"),
        (errors.UnfitInt8("no file"), "gazeloop calibrate"),
        (errors.TooManyDeadLetters("a thousand"), "dead-letters list"),
        (errors.FolderInUse("another process runs here"), "--data"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "GAZELOOP_METRICS_PORT"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv"), "write permission"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/srv"), "Name another place"),
        (FileExistsError(errno.EEXIST, "File exists", "/srv/gt.json"), "Name another place"),
        (OSError(errno.ENOSPC, "No space left on device", "/mnt"), "Make room there"),
        (KeyError("frame"), "--debug"),
    ],
)
def test_every_error_names_its_remedy(error: Exception, remedy: str) -> None:
    message = explained(error)
    assert remedy in message
    assert len(message.splitlines()) == 2


def test_our_own_error_is_found_among_those_that_tasks_raised_together() -> None:
    inner = ExceptionGroup("tasks", [ValueError("other"), errors.MissingWeights("no file here")])
    assert "no file here" in explained(ExceptionGroup("outer", [inner]))


def test_what_an_error_says_is_not_taken_for_markup() -> None:
    assert "\\[bold]" in explained(errors.InvalidRecord("[bold] is no category"))


def test_what_no_setting_cures_does_not_send_a_person_to_the_settings() -> None:
    assert "gazeloop settings" not in explained(errors.InvalidSettings("there is no category 'x'"))


def test_an_unexpected_error_names_the_log_to_report_it_with() -> None:
    found = explained(KeyError("frame"), Path("/srv/gl/logs/mine.log"))
    assert "please report it with the log at /srv/gl/logs/mine.log" in found


@pytest.mark.parametrize("reason", ["no_such_frame", "folder_in_use", "erased_frame"])
def test_an_error_that_says_what_to_do_has_no_other_remedy(reason: str) -> None:
    refused = errors.InvalidRecord("x is not empty: name another folder", reason=reason)

    assert explained(refused) == "[bold red]Error:[/] x is not empty: name another folder"


def test_a_missing_part_has_no_remedy_but_its_own() -> None:
    missing = errors.MissingPart("no mvn on the PATH: install Maven")

    assert explained(missing) == "[bold red]Error:[/] no mvn on the PATH: install Maven"


def test_no_remedy_speaks_of_records_where_none_were_sent() -> None:
    assert "records" not in explained(errors.InvalidImage("query.png: truncated"))
