"""Generates the public documents of events: JSON Schemas and an AsyncAPI 3 description.

`python -m services.contracts.documents` writes them; a test compares them with the code.
"""

import json
from pathlib import Path
from typing import Any

from services.contracts.events import SCHEMA_VERSION, Event
from services.contracts.topics import TOPICS, Topic

SCHEMAS = Path(__file__).parent / "schemas"
VERSION_1 = SCHEMAS / "v1"
"""Version 1's schemas and examples, which never change again."""
_PUBLISHED_AT = "services/contracts/schemas"
ASYNCAPI = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def event_types() -> list[type[Event]]:
    """Every event that some topic carries."""
    return [event for topic in TOPICS for event in topic.events]


def schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema of an event as it is published."""
    return event.model_json_schema(mode="serialization")


def example(event: type[Event]) -> dict[str, Any]:
    """The committed example of this event."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{event.__name__}.example.json").read_text())
    return loaded


def asyncapi() -> dict[str, Any]:
    """The topics and their events as AsyncAPI 3.0.0 (asyncapi.com/docs/reference)."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gazeloop",
            "version": str(SCHEMA_VERSION),
            "description": "Delivery is at least once. For one subject, the highest revision "
            "counts: a consumer that has it may drop all others, in any order. A topic may hold "
            "both versions of events; GAZELOOP_EVENT_VERSION selects the one that is written.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {f"send-{topic.name}": _operation(topic) for topic in TOPICS},
        "components": {
            "messages": {event_type.__name__: _message(event_type) for event_type in event_types()}
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    names = [event.__name__ for event in topic.events]
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {"topicConfiguration": {"cleanup.policy": [topic.retention]}},
        },
    }


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic.name.replace('/', '~1')}"},
        "messages": [
            {"$ref": f"#/channels/{topic.name}/messages/{event.__name__}"} for event in topic.events
        ],
    }


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.__name__,
        "summary": (event.__doc__ or "").splitlines()[0],
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {
                "oneOf": [{"$ref": f"../{_PUBLISHED_AT}/{name}.json"} for name in _versions(event)]
            },
        },
        "examples": [{"payload": example(event)}],
    }


def _versions(event: type[Event]) -> list[str]:
    name = event.__name__
    return [name, f"v1/{name}"] if (VERSION_1 / f"{name}.json").exists() else [name]


def documents() -> dict[Path, str]:
    """Every generated file with its text."""
    files = {SCHEMAS / f"{event.__name__}.json": schema(event) for event in event_types()}
    files[ASYNCAPI] = asyncapi()
    return {path: json.dumps(content, indent=2) + "\n" for path, content in files.items()}


def main() -> None:
    """Write every generated file."""
    for path, text in documents().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
