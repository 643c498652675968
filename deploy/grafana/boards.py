"""All dashboards, in the order in which one reads them."""

from deploy.grafana.annotation import ANNOTATION
from deploy.grafana.detector import DETECTOR
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.pipeline import PIPELINE

BOARDS = (OVERVIEW, PIPELINE, DETECTOR, ANNOTATION)
