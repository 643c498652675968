"""Sends a survey vehicle's frames, predictions and ground truth to Gazeloop."""

from gazeloop_client.async_client import AsyncClient
from gazeloop_client.client import Client
from gazeloop_client.errors import (
    ClientError,
    NotGazeloop,
    Refused,
    SpoolFull,
    Unauthorized,
    Unavailable,
)
from gazeloop_client.protocol import Accepted, BatchResult, RefusedLine
from gazeloop_client.records import (
    Annotation,
    Detection,
    FrameMetadata,
    GroundTruth,
    Position,
    Predictions,
)
from gazeloop_client.spooled import SpooledClient

__all__ = [
    "Accepted",
    "Annotation",
    "AsyncClient",
    "BatchResult",
    "Client",
    "ClientError",
    "Detection",
    "FrameMetadata",
    "GroundTruth",
    "NotGazeloop",
    "Position",
    "Predictions",
    "Refused",
    "RefusedLine",
    "SpoolFull",
    "SpooledClient",
    "Unauthorized",
    "Unavailable",
]
