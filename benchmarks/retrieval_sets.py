"""The data sets of the retrieval benchmarks, by the name of the option `--data`."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.retrieval_data import DataSet, survey, trapedesveh
from benchmarks.retrieval_trained import traffic_lights

DATA_SETS: Mapping[str, Sequence[Callable[[], DataSet]]] = {
    "trapedesveh": [trapedesveh],
    "survey": [survey],
    "traffic-lights": [traffic_lights],
    "both": [trapedesveh, survey],
}
