"""Lists of options that several commands share, each written once as a dataclass."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: users give their fields, one option each.

    Typer has no such parameters, so the signature that it sees has the fields in their place.

    Parameters
    ----------
    command : the fields of its dataclass parameters are annotated as Typer's options are
    """
    parameters = signature(command).parameters.values()
    groups = {given.name: given.annotation for given in parameters if _is_group(given)}

    @wraps(command)
    def grouped(**given: Any) -> None:
        made = {
            name: group(**{option.name: given.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    options = [option for given in parameters for option in _options(given)]
    grouped.__signature__ = signature(command).replace(parameters=options)  # type: ignore[attr-defined]  # as inspect reads it
    return grouped


def _is_group(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)


def _options(parameter: Parameter) -> Iterator[Parameter]:
    if not _is_group(parameter):
        yield parameter
        return
    for option in fields(parameter.annotation):
        default = Parameter.empty if option.default is MISSING else option.default
        yield Parameter(
            option.name, Parameter.KEYWORD_ONLY, default=default, annotation=option.type
        )
