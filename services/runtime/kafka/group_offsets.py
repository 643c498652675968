"""Sets the committed offsets of consumer groups that have no running member."""

from collections.abc import Collection, Mapping
from contextlib import closing

from kafka import TopicPartition
from kafka.errors import AuthorizationError, KafkaError, NoError
from kafka.structs import OffsetAndMetadata

from services.contracts.errors import InvalidSettings
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress, not_granted, translate
from services.runtime.kafka.lag import Partition
from services.runtime.settings import Settings

Offsets = Mapping[str, Mapping[Partition, int]]
"""Committed offsets, by group and partition."""


def set_offsets(broker: BrokerAddress, settings: Settings, offsets: Offsets) -> None:
    """Have the groups go on from these offsets; blocks.

    Raises
    ------
    InvalidSettings
        A group has a running member, or the broker refuses the user.
    BrokerUnavailable
        The broker does not answer.
    """
    with closing(connect_admin(broker, settings)) as admin:
        for group, positions in sorted(offsets.items()):
            wanted = {
                TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
                for partition, offset in positions.items()
            }
            try:
                answers = admin.alter_group_offsets(group, wanted) if wanted else {}
            except KafkaError as exc:
                raise translate(exc, broker) from exc
            refused = {error for error in answers.values() if error is not NoError}
            if refused:
                raise InvalidSettings(_refusal(group, refused, broker))


def _refusal(group: str, errors: Collection[type[KafkaError]], broker: BrokerAddress) -> str:
    names = ", ".join(sorted(error.__name__ for error in errors))
    if any(issubclass(error, AuthorizationError) for error in errors):
        return not_granted(broker, f"setting the offsets of {group}: {names}")
    return (
        f"the broker does not set the offsets of {group} ({names}): stop the services, so that"
        " their groups are empty"
    )
