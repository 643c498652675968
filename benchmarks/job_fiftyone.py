"""FiftyOne's way to what `gazeloop mine coco` finds; prints the seconds of its steps as JSON.

Run by `benchmarks.job` with FiftyOne's Python; imports nothing of Gazeloop. Torch is that of
Gazeloop's environment, so that both ways run the same build of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_PREDICTIONS, _EVALUATION, _INDEX = "predictions", "eval", "patches"


class StepTimes:
    """The seconds of each step, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, step: str, work: Callable[[], T]) -> T:
        """Do the work as this step."""
        started = time.perf_counter()
        made = work()
        self.seconds[step] = time.perf_counter() - started
        return made


def _imported(torch_packages: Path) -> Any:
    # Behind FiftyOne's own packages: only what is missing there comes from it.
    sys.path.append(str(torch_packages))
    import fiftyone.brain  # noqa: PLC0415  # timed as a step of its own
    import fiftyone.utils.coco  # noqa: PLC0415
    import fiftyone.utils.torch  # noqa: PLC0415

    return fiftyone


def _loaded(fiftyone: Any, options: argparse.Namespace) -> Any:
    """The data set with ground truth and predictions."""
    categories = json.loads(options.coco.read_bytes())["categories"]
    dataset = fiftyone.Dataset.from_dir(
        dataset_type=fiftyone.types.COCODetectionDataset,
        data_path=str(options.images),
        labels_path=str(options.coco),
        label_field={"detections": "ground_truth", "coco_id": "coco_id"},
        include_id=True,
        progress=False,
    )
    fiftyone.utils.coco.add_coco_labels(
        dataset, _PREDICTIONS, str(options.predictions), categories, coco_id_field="coco_id"
    )
    return dataset


def _network(fiftyone: Any, weights: Path, side: int) -> Any:
    """SqueezeNet up to its last map, averaged, as a model of FiftyOne."""
    from safetensors.torch import load_file  # noqa: PLC0415  # after `_imported`
    from torch import nn  # noqa: PLC0415
    from torchvision.models import squeezenet1_0  # noqa: PLC0415

    features = squeezenet1_0().eval()
    state = {name: values.float() for name, values in load_file(weights).items()}
    features.load_state_dict(state, strict=False)
    pooled = nn.Sequential(features.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    config = fiftyone.utils.torch.TorchImageModelConfig(
        {
            "model": pooled.eval(),
            "image_size": [side, side],
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "as_feature_extractor": True,
        }
    )
    return fiftyone.utils.torch.TorchImageModel(config)


def _searched(patches: Any, wrong: list[str], count: int) -> int:
    """Search for each wrong detection; return how many patches were found."""
    return sum(
        len(patches.sort_by_similarity(patch_id, k=count, brain_key=_INDEX).values("id"))
        for patch_id in wrong
    )


def run(options: argparse.Namespace) -> dict[str, object]:
    """All steps, and what was found."""
    steps = StepTimes()
    fiftyone = steps.time("imports and connection", lambda: _imported(options.torch_packages))
    shown = fiftyone.ViewField("confidence") >= options.score
    dataset = steps.time("loading", lambda: _loaded(fiftyone, options))
    results = steps.time(
        "evaluation",
        lambda: dataset.evaluate_detections(
            _PREDICTIONS, eval_key=_EVALUATION, compute_mAP=True, progress=False
        ),
    )
    network = steps.time("network", lambda: _network(fiftyone, options.weights, options.side))
    view = dataset.filter_labels(_PREDICTIONS, shown)
    patches = view.to_patches(_PREDICTIONS)
    vectors = steps.time(
        "embedding",
        lambda: view.compute_patch_embeddings(
            network, _PREDICTIONS, batch_size=options.batch, num_workers=options.workers
        ),
    )
    steps.time(
        "similarity index",
        lambda: fiftyone.brain.compute_similarity(
            view, patches_field=_PREDICTIONS, embeddings=vectors, brain_key=_INDEX, progress=False
        ),
    )
    wrong = patches.match(fiftyone.ViewField(f"{_PREDICTIONS}.{_EVALUATION}") == "fp").values("id")
    found = steps.time("searches", lambda: _searched(patches, wrong, options.listed))
    return {
        "steps": steps.seconds,
        "mAP": results.mAP(),
        "regions": len(patches),
        "searches": len(wrong),
        "found": found,
    }


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("coco", "predictions", "images", "weights", "torch-packages"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("side", "batch", "workers", "listed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--score", type=float, required=True)
    print(json.dumps(run(parser.parse_args())))  # noqa: T201  # what the benchmark reads


if __name__ == "__main__":
    main()
