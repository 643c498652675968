"""Sets the committed offsets of consumer groups that have no running member."""

from collections.abc import Mapping
from contextlib import closing

from kafka import TopicPartition
from kafka.errors import KafkaError, NoError
from kafka.structs import OffsetAndMetadata

from services.contracts.errors import InvalidSettings
from services.runtime.kafka.admin_connection import connect_admin
from services.runtime.kafka.broker import BrokerAddress, translate
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
            refused = sorted({e.__name__ for e in answers.values() if e is not NoError})
            if refused:
                raise InvalidSettings(
                    f"the broker does not set the offsets of {group} ({', '.join(refused)}):"
                    " stop the services, so that their groups are empty"
                )
