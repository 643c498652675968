"""What to do about an error: one line each."""

from rich.markup import escape

from services.contracts import errors

_REMEDIES: tuple[tuple[type[errors.GazeloopError], str], ...] = (
    (
        errors.Transient,
        (
            "Nothing is lost: run the same command again once it is reachable"
            " (`gazeloop status` tells)."
        ),
    ),
    (errors.InvalidSettings, "`gazeloop settings` lists every setting with its default."),
    (
        errors.MissingWeights,
        (
            "Name a file with GAZELOOP_WEIGHTS, or use the weights that come along:"
            " GAZELOOP_EMBEDDER=gazeloop-small."
        ),
    ),
    (errors.MissingPart, "`make setup` installs what is missing."),
    (
        errors.TooManyDeadLetters,
        "`gazeloop dead-letters list` shows why; replay them once it is cured.",
    ),
    (errors.Invalid, "Correct it and run the same command again; what went through stays."),
)


def explained(error: errors.GazeloopError) -> str:
    """The error in one line, and below it what to do, as Rich markup."""
    said = escape(str(error) or type(error).__name__).replace("\n", " ")
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
    line = f"[bold red]Error:[/] {said}"
    return line if remedy is None else f"{line}\n[dim]{escape(remedy)}[/]"
