"""MongoDB's users, roles and passwords, as `deploy/mongodb/setup.js` makes them with mongosh."""

import json
import re
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from services.contracts.flow import BRIDGE, LABEL_STUDIO, SERVICES

Client = MongoClient[dict[str, Any]]

_FOLDER = Path(__file__).parents[1] / "deploy" / "mongodb"
_ROOT_PASSWORD = "of-everybody"
OPERATOR = "gazeloop-operator"
WRITERS: dict[str, Any] = json.loads((_FOLDER / "writers.json").read_text())


def user_of(service: str) -> str:
    """The user of a service, which is the name of its role too."""
    return f"gazeloop-{service.replace('_', '-')}"


USERS = [*map(user_of, [*SERVICES, LABEL_STUDIO, BRIDGE]), OPERATOR]


def password_of(user: str) -> str:
    """Each user has another."""
    return f"of-{user}"


def make_users(port: int, *more: tuple[str, list[str]]) -> None:
    """Make root, which only loopback may while there is no user, and with it all others.

    Parameters
    ----------
    more : further users, with the services whose roles they have
    """
    with Client("127.0.0.1", port, directConnection=True) as first:
        roles = [{"role": "root", "db": "admin"}]
        first.admin.command("createUser", "root", pwd=_ROOT_PASSWORD, roles=roles)
    root: dict[str, Any] = {"username": "root", "password": _ROOT_PASSWORD}
    with Client("127.0.0.1", port, directConnection=True, **root) as owner:
        for user in USERS[:-1]:
            granted = _privileges_of(user.removeprefix("gazeloop-"))
            owner.admin.command("createRole", user, privileges=granted, roles=[])
        own = [(user, [{"role": user, "db": "admin"}]) for user in USERS[:-1]]
        own += [(user, [{"role": user_of(name), "db": "admin"} for name in n]) for user, n in more]
        for user, roles in [*own, (OPERATOR, [{"role": "readWrite", "db": "gazeloop"}])]:
            owner.admin.command("createUser", user, pwd=password_of(user), roles=roles)


def _privileges_of(service: str) -> list[dict[str, Any]]:
    granted = [_privilege("", _actions("onDatabase"))]
    for collection, names in WRITERS["writers"].items():
        writes = names == "all" or service in names
        actions = _actions("onEveryCollection")
        actions += _actions("reading") if writes or collection not in WRITERS["secret"] else []
        granted.append(_privilege(collection, actions + (_actions("writing") if writes else [])))
    return granted


def _privilege(collection: str, actions: list[str]) -> dict[str, Any]:
    return {"resource": {"db": "gazeloop", "collection": collection}, "actions": actions}


def _actions(name: str) -> list[str]:
    """A list in the script."""
    (found,) = re.findall(rf"const {name} = (\[.*\]);", (_FOLDER / "setup.js").read_text())
    actions: list[str] = json.loads(found)
    return actions
