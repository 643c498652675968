"""One-line remedies for errors."""

import errno
from pathlib import Path
from typing import Final

from rich.markup import escape

from services.contracts import errors

_REMEDIES: tuple[tuple[type[errors.GazeloopError], str], ...] = (
    (errors.MissingTopic, "Then run the same command again; services wait for the topic."),
    (
        errors.Transient,
        (
            "Nothing is lost: run the same command again once it is reachable"
            " (see `gazeloop status`)."
        ),
    ),
    (
        errors.MissingWeights,
        (
            "GAZELOOP_EMBEDDER names a network or a whole file (.onnx, .zip), GAZELOOP_WEIGHTS the"
            " weights of a network. GAZELOOP_EMBEDDER=squeezenet1_0 has its weights included."
        ),
    ),
    (
        errors.FolderInUse,
        (
            "Stop it first, or name another folder with --data. `gazeloop ingest`, `report` and"
            " `status` work while it runs."
        ),
    ),
    (
        errors.PartEnded,
        "Nothing is lost: the same command starts it again. Out of memory is the usual cause.",
    ),
    (
        errors.DamagedVectors,
        (
            "Restore the data folder's backup; or stop what runs on it, move its folder `qdrant`"
            " away, and run `gazeloop models fill`, which recomputes all vectors from the images."
            " Nothing else is lost."
        ),
    ),
    (
        errors.DiskFull,
        (
            "Make room, or name a folder on another disk (--data for the data folder). Stored data"
            " is kept."
        ),
    ),
    (
        errors.NothingStored,
        (
            "Name another folder with --data or GAZELOOP_DATA (the demo's is demo-data), or fill"
            " this one with `gazeloop mine` or `gazeloop ingest`."
        ),
    ),
    (
        errors.NoBackup,
        "Name the place that `gazeloop backup` wrote to; `gazeloop backup list` shows its backups.",
    ),
    (
        errors.DamagedBackup,
        (
            "`gazeloop backup TO --repair` copies damaged images again. For another file, restore"
            " another backup of that folder: `gazeloop backup list` names them."
        ),
    ),
    (
        errors.UnfinishedRestore,
        "Run the same `gazeloop restore` again: it goes on. Or empty the stores.",
    ),
    (
        errors.StoresNotMigrated,
        "Stop all services and run `gazeloop migrate`; it keeps the old documents.",
    ),
    (
        errors.StoresFromLater,
        "Use that version, or name another data folder or database. Nothing was changed.",
    ),
    (
        errors.UnfitInt8,
        (
            "Set GAZELOOP_EMBED_PRECISION to bf16 or fp32, or name with GAZELOOP_EMBED_INT8 a file"
            " that `gazeloop calibrate` made from the configured embedder."
        ),
    ),
    (
        errors.MissingBroker,
        (
            "Install Java 17 or newer, put it on the PATH or name it with JAVA_HOME, and run"
            " `gazeloop broker fetch`; or name another folder with --data. Stored data is kept."
        ),
    ),
    (
        errors.TooManyDeadLetters,
        "`gazeloop dead-letters list` shows the reasons; replay them after fixing the cause.",
    ),
    (errors.Invalid, "Correct it and run the same command again."),
)

_EXPLAINED: Final = frozenset(
    {"no_such_frame", "nothing_to_compare", "nothing_to_draw", "few_drawn", "no_masks"}
    | {"folder_in_use", "erased_frame", "undone_campaign"}
)
"""Reasons whose messages say what to do, or where nothing can be corrected."""
_UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_PLACE: Final = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_ANOTHER_PLACE: Final = "name another place: --data for the data folder, else the output's option."
_TORCH = ("torch", "torchvision")
"""The image for services lacks these."""
_SETTINGS = "`gazeloop settings` lists every setting with its default."


def explained(error: BaseException, log: Path | None = None) -> str:
    """One line for the error and one for its remedy, as Rich markup.

    Parameters
    ----------
    log : the process's log file, to be sent with a report of an unexpected error
    """
    cause = _cause(error)
    message = escape(str(cause) or type(cause).__name__).replace("\n", " ")
    if not isinstance(cause, errors.GazeloopError):
        what, remedy = _foreign(cause, message, log)
        return f"[bold red]Error:[/] {what}\n[dim]{remedy}[/]"
    remedy = remedy_of(cause)
    line = f"[bold red]Error:[/] {message}"
    return f"{line}\n[dim]{escape(remedy)}[/]" if remedy else line


def _foreign(cause: BaseException, message: str, log: Path | None) -> tuple[str, str]:
    """The line and the remedy of an error of a library or of the system."""
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return (
            f"{message}: another process listens there",
            (
                "Choose other ports with GAZELOOP_HTTP_PORT and GAZELOOP_METRICS_PORT; 0 takes any"
                " free one."
            ),
        )
    if isinstance(cause, OSError) and cause.errno in _UNWRITABLE:
        return message, f"Give this user write permission there, or {_ANOTHER_PLACE}"
    if isinstance(cause, OSError) and cause.errno in _NO_PLACE:
        return message, _ANOTHER_PLACE.capitalize()
    if isinstance(cause, OSError) and cause.errno in _FULL:
        return message, f"Make room there, or {_ANOTHER_PLACE}"
    if isinstance(cause, ModuleNotFoundError) and cause.name in _TORCH:
        return (
            f"{cause.name} is not installed, and backbones, training and calibration need it",
            (
                "Use an image or installation with torch; or embed by a network that `gazeloop"
                " models export` wrote there, named by GAZELOOP_EMBEDDER."
            ),
        )
    attached = f"the log at {escape(str(log))}" if log else "the output of `gazeloop --debug …`"
    return (
        f"{type(cause).__name__}: {message}",
        f"Unexpected error; please report it with {attached}.",
    )


def exit_code(error: BaseException) -> int:
    """The process's exit code after an error: 2 if the caller gave wrong settings, else 1."""
    return 2 if isinstance(_cause(error), errors.InvalidSettings) else 1


def remedy_of(error: errors.GazeloopError) -> str:
    """The remedy for an error; empty if none is known."""
    if isinstance(error, errors.Invalid) and error.reason in _EXPLAINED:
        return ""
    if isinstance(error, errors.InvalidSettings):
        return _SETTINGS if "GAZELOOP_" in str(error) else ""
    return next((text for kind, text in _REMEDIES if isinstance(error, kind)), "")


def _cause(error: BaseException) -> BaseException:
    """The first `GazeloopError` in an exception group, else its first exception."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(exception) for exception in error.exceptions]
    known = (cause for cause in causes if isinstance(cause, errors.GazeloopError))
    return next(known, causes[0])
