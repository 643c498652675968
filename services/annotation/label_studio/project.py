"""Find (by title) or create the Label Studio project, its labels and its webhook."""

from collections.abc import Collection

from services.annotation.label_studio.client import LabelStudio
from services.annotation.label_studio.interface import Interface
from services.annotation.label_studio.logic import MODEL_VERSION
from services.annotation.stores.opening import AnnotationStores
from services.contracts.errors import InvalidRecord
from services.contracts.identity import Category
from services.runtime.settings import Settings

EVENTS_PATH = "/v1/label-studio/events"
SECRET_HEADER = "X-Gazeloop-Secret"  # noqa: S105  # the header's name
LETS_OUT = "Label Studio with USE_DEFAULT_BANNED_SUBNETS=false"
_ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED")


async def ensure_project(
    tool: LabelStudio, settings: Settings, stores: AnnotationStores
) -> tuple[int, Interface]:
    """The project's id and interface; creates the project if none has its title.

    Raises
    ------
    Transient
        A store or Label Studio is unreachable.
    InvalidSettings
        Label Studio refuses the token, or the project's interface has no rectangles.
    """
    found = await tool.projects(settings.label_studio_project)
    if found:
        return int(found[0]["id"]), Interface.parse(found[0]["label_config"])
    interface = Interface.made(await stores.categories.all())
    project = await tool.create_project(
        title=settings.label_studio_project,
        description="Frames that Gazeloop asks to be annotated again.",
        label_config=interface.xml,
        expert_instruction=_INSTRUCTION,
        show_instruction=True,
        show_collab_predictions=True,
    )
    return int(project["id"]), interface


_INSTRUCTION = (
    "Annotate the whole frame. Boxes that are filled in are the ground truth so far and what a"
    " detector has found: keep what is right, correct what is not, delete what is not there, add"
    " what is missing. Nothing on it? Submit it empty. Cannot be told? Skip it."
)


async def fill_in_predictions(tool: LabelStudio, project: int) -> None:
    """Prefill tasks with our predictions; Label Studio accepts this once it has one prediction."""
    known = await tool.project(project)
    if known is not None and known.get("model_version") != MODEL_VERSION:
        await tool.change_project(project, model_version=MODEL_VERSION)


async def offer_labels(
    tool: LabelStudio, project: int, interface: Interface, labels: Collection[Category]
) -> Interface:
    """Add these labels to the project's interface, and return it."""
    wanted = interface.with_labels(labels)
    if wanted is not interface:
        await tool.change_project(project, label_config=wanted.xml)
    return wanted


def webhook_url(settings: Settings) -> str | None:
    """The webhook's URL; None without a public URL or a webhook secret."""
    if not settings.public_url or not settings.label_studio_webhook_secret:
        return None
    return f"{settings.public_url.rstrip('/')}{EVENTS_PATH}"


async def ensure_webhook(tool: LabelStudio, settings: Settings, project: int) -> str | None:
    """Register the webhook; return its URL, or None if Label Studio cannot reach us.

    Raises
    ------
    InvalidRecord
        Label Studio refuses to call this URL.
    """
    url = webhook_url(settings)
    if url is None:
        return None
    secret = settings.label_studio_webhook_secret.get_secret_value()
    known = [webhook for webhook in await tool.webhooks(project) if webhook["url"] == url]
    facts = {
        "project": project,
        "url": url,
        "send_payload": False,  # a notification is enough: the changes are pulled
        "send_for_all_actions": False,
        "is_active": True,
        "headers": {SECRET_HEADER: secret},
        "actions": list(_ACTIONS),
    }
    try:
        await tool.set_webhook(int(known[0]["id"]) if known else None, **facts)
    except InvalidRecord as exc:
        detail = f"{exc}; where {url} is a private address, start {LETS_OUT}"
        raise InvalidRecord(detail, reason=exc.reason) from exc
    return url
