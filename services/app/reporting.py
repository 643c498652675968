"""Read the detectors' reports from an app's stores."""

from services.app.parts import App
from services.domain.detection.operating_scores import OperatingScores
from services.domain.metrics.subsets import Subset
from services.evaluator.reports.costs import StoredErrorCosts
from services.evaluator.reports.detector_reports import Reports
from services.evaluator.reports.match_figures import MatchFigures
from services.evaluator.reports.places import error_places
from services.evaluator.reports.report import Counts, Report
from services.evaluator.samples.campaigns import SampleCampaigns
from services.evaluator.versions.reading import StoredVersions
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from services.runtime.stores.opening import Stores


async def read_reports(app: App, dead_letters: int) -> list[Report]:
    """One report per detector.

    Raises
    ------
    StoreUnavailable
        A store does not answer.
    """
    stores, settings, clock = app.stores, app.settings, SystemClock()
    tally = await stores.frames.tally()
    counts = Counts(
        frames=tally.frames,
        predictions=tally.predictions,
        ground_truth=tally.ground_truth,
        partial_predictions=tally.partial_predictions,
        partial_ground_truth=tally.partial_ground_truth,
        copies=tally.copies,
        dead_letters=dead_letters,
    )
    source = Reports(stores.matches, stores.needles, settings.operating_scores, clock)
    reports, figures = await source.now(counts)
    found = [await _extended(report, figures) for report in reports]
    # Read after the reports, because a frame is stored before its matches. An unreadable frame
    # has no costs.
    stored = StoredErrorCosts(
        *(stores.frames, stores.matches, clock),
        count_copies=settings.count_copies,
        redacting=settings.redact_detector,
    )
    costs = await stored.now()
    places = await error_places(stores.needles, stores.frames, stores.known_places)
    estimates = await stores.estimates.all()
    for number, report in enumerate(found):
        detector = report.detector
        placed = report.with_places(places.get(detector)).with_estimated(estimates.get(detector))
        found[number] = placed.with_costs(costs[detector]) if detector in costs else placed
    return found


async def _extended(report: Report, figures: MatchFigures) -> Report:
    """A report with all that is computed from the same matches."""
    detector = report.detector
    return report.with_curves(
        await figures.curves(detector, Subset.ALL), await figures.slices(detector)
    ).with_recovered(await figures.ap_recovered(detector))


def stored_versions(stores: Stores, operating: OperatingScores) -> StoredVersions:
    """What compares detector versions in these stores."""
    return StoredVersions(
        stores.frames,
        stores.matches,
        stores.needles,
        stores.family_marks.families,
        operating,
    )


def sample_campaigns(stores: Stores, settings: Settings) -> SampleCampaigns:
    """What draws samples of these stores, and estimates from them."""
    return SampleCampaigns(
        stores.frames,
        stores.matches,
        settings.split_rule,
        settings.operating_scores,
        settings.count_copies,
    )
