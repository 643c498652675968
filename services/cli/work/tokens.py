"""What `gazeloop tokens` does."""

from datetime import datetime, timedelta
from typing import NoReturn

import typer
from rich.table import Table

from services.cli.account import account
from services.cli.console import console, print_json, styled
from services.cli.context import Context, run, shared
from services.cli.work.opened import opened
from services.contracts.errors import InvalidRecord
from services.domain.ports.audit import AuditAct, AuditRecord
from services.domain.ports.tokens import TokenRecord
from services.runtime.clock import SystemClock
from services.runtime.http import tokens as bearer_tokens
from services.runtime.stores.opening import Stores


def create(ctx: typer.Context, scope: str, *, prefix: str) -> None:
    """Run `gazeloop tokens create`."""
    try:
        bearer_tokens.Scope.parse(scope)
    except InvalidRecord as exc:
        raise typer.BadParameter(str(exc), param_hint="scope") from None
    context = shared(ctx)
    token = run(lambda: _create(context, scope, prefix), interrupted="No token was created.")
    _show(token)


def list_tokens(ctx: typer.Context, *, as_json: bool) -> None:
    """Run `gazeloop tokens list`."""
    context = shared(ctx)
    found = run(lambda: _list(context), interrupted="The tokens were not read.")
    if as_json:
        print_json([_document(token) for token in found])
        return
    table = Table(box=None, header_style="dim")
    for title in ("id", "scope", "prefix", "created", "age", "last used", "state"):
        table.add_column(title)
    now = SystemClock().now()
    for token in found:
        age = f"{(now - token.created_at).days} days"
        table.add_row(
            token.token_id,
            token.scope,
            token.prefix,
            _minute(token.created_at),
            age,
            _minute(token.used_at) if token.used_at else "never",
            _state(token, now),
        )
    console().print(table if found else "no tokens")


def _document(token: TokenRecord) -> dict[str, object]:
    return {
        "token_id": token.token_id,
        "scope": token.scope,
        "prefix": token.prefix,
        "created_at": token.created_at.isoformat(),
        "used_at": token.used_at and token.used_at.isoformat(),
        "state": _state(token, SystemClock().now()),
    }


def rotate(ctx: typer.Context, token_id: str, *, grace_hours: float) -> None:
    """Run `gazeloop tokens rotate`."""
    context = shared(ctx)
    token = run(
        lambda: _rotate(context, token_id, grace_hours),
        interrupted="`gazeloop tokens list` shows whether there is a new token.",
    )
    if token is None:
        _refuse(token_id)
    else:
        _show(token)


def revoke(ctx: typer.Context, token_id: str) -> None:
    """Run `gazeloop tokens revoke`."""
    context = shared(ctx)
    if not run(lambda: _revoke(context, token_id), interrupted="The token may still be valid."):
        _refuse(token_id)
    console().print(f"{token_id} is revoked", highlight=False)


def _show(token: str) -> None:
    print(token)  # noqa: T201  # to be piped
    console(stderr=True).print(
        "Keep it: only its hash is stored. Send it as `Authorization: Bearer TOKEN`.", style="dim"
    )


def _refuse(token_id: str) -> NoReturn:
    console(stderr=True).print(
        styled(
            "[bold red]Error:[/] no valid token has the id {}\n"
            "[dim]`gazeloop tokens list` shows them.[/]",
            token_id,
        )
    )
    raise typer.Exit(1)


def _state(token: TokenRecord, now: datetime) -> str:
    if token.revoked_at is None:
        return "valid"
    return f"{'until' if token.is_valid(now) else 'revoked'} {_minute(token.revoked_at)}"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


async def _create(context: Context, scope: str, prefix: str) -> str:
    bearer_tokens.check_scope(scope, prefix)  # before any part starts
    async with opened(context.settings(), "tokens") as app:
        now = SystemClock().now()
        token = await bearer_tokens.create(app.stores.tokens, scope, now, prefix)
        await _note(app.stores, AuditAct.TOKEN_CREATED, scope, token=bearer_tokens.id_of(token))
        return token


async def _list(context: Context) -> list[TokenRecord]:
    async with opened(context.stored(), "tokens") as app:
        return list(await app.stores.tokens.list())


async def _rotate(context: Context, token_id: str, grace_hours: float) -> str | None:
    async with opened(context.stored(), "tokens") as app:
        tokens, now = app.stores.tokens, SystemClock().now()
        token = await bearer_tokens.rotate(tokens, token_id, now, timedelta(hours=grace_hours))
        if token is not None:
            new = bearer_tokens.id_of(token)
            await _note(app.stores, AuditAct.TOKEN_ROTATED, f"token {token_id}", token=new)
        return token


async def _revoke(context: Context, token_id: str) -> bool:
    async with opened(context.stored(), "tokens") as app:
        revoked = await app.stores.tokens.revoke(token_id, SystemClock().now())
        if revoked:
            await _note(app.stores, AuditAct.TOKEN_REVOKED, f"token {token_id}")
        return revoked


async def _note(stores: Stores, act: AuditAct, on: str, **details: str) -> None:
    await stores.audit.append(AuditRecord(SystemClock().now(), act, account(), on, details))
