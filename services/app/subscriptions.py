"""The topics that each consumer group reads, for measuring its lag."""

from services.annotation.webhooks.receivers import names_of, service_of
from services.contracts.flow import BRIDGE, CONSUMERS, LABEL_STUDIO, READS, WEBHOOKS, group_of
from services.contracts.topics import TOPICS, Topic
from services.runtime.kafka.lag import Subscriptions
from services.runtime.settings import Settings

SUBSCRIPTIONS: Subscriptions = {
    group_of(name): [topic.name for topic in READS[name]] for name in CONSUMERS
}
"""Subscriptions of the groups whose work others wait for; webhook receivers are not among them."""


def webhook_subscriptions(settings: Settings) -> Subscriptions:
    """Subscriptions of the webhook receivers' groups."""
    topics = [topic.name for topic in READS[WEBHOOKS]]
    return {group_of(service_of(name)): topics for name in names_of(settings)}


def own_subscriptions(settings: Settings) -> Subscriptions:
    """Subscriptions of every group that reads Gazeloop's topics, webhook receivers' too."""
    tools = {}
    if settings.label_studio_url:
        tools[group_of(LABEL_STUDIO)] = [topic.name for topic in READS[LABEL_STUDIO]]
    return {**SUBSCRIPTIONS, **webhook_subscriptions(settings), **tools}


def all_subscriptions(settings: Settings) -> Subscriptions:
    """Subscriptions of every group on our cluster: also of the bridge, where its topic is there."""
    bridge = {} if settings.bridge_kafka else bridge_subscriptions(settings)
    return {**own_subscriptions(settings), **bridge}


def topics_created(settings: Settings) -> tuple[Topic, ...]:
    """The topics that a stack of our own is to have: also that of a detector, which may be new."""
    own = settings.bridge_topic and not settings.bridge_kafka
    return (*TOPICS, Topic(settings.bridge_topic, ())) if own else TOPICS


def bridge_subscriptions(settings: Settings) -> Subscriptions:
    """The subscription of the bridge's group, on the cluster that it reads from."""
    return {group_of(BRIDGE): [settings.bridge_topic]} if settings.bridge_topic else {}
