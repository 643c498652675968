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
    groups = {
        parameter.name: parameter.annotation for parameter in parameters if _is_group(parameter)
    }

    @wraps(command)
    def grouped(**kwargs: Any) -> None:
        grouped_options = {
            name: group(**{option.name: kwargs.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        command(**kwargs, **grouped_options)

    options = [option for parameter in parameters for option in _options(parameter)]
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
