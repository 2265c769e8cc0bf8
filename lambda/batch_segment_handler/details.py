"""The details of the events that a workflow publishes. ``docs/events.schema.json`` describes them."""

from collections.abc import Sequence

from .results import ERRORS_UNKNOWN
from .workflow_contract import AudienceItem, JobFacts, MapCounts, RunDetail, RunFacts, SegmentsDetail, WorkflowSettings


def succeeded(
    settings: WorkflowSettings, item: AudienceItem | None, run: RunFacts, jobs: Sequence[JobFacts], output_uri: str
) -> SegmentsDetail:
    """Returns the detail for an audience or a job that succeeded.

    Args:
        settings: The settings of the workflow.
        item: The audience; None for a job created at deploy time.
        run: The run.
        jobs: The jobs, with their query errors.
        output_uri: The folder of the segments of all jobs.
    """
    detail = _of_jobs(settings, item, run, jobs)
    return {**detail, "status": "SUCCEEDED", "outputUri": output_uri, "queryErrors": _query_errors(jobs)}


def failed(
    settings: WorkflowSettings,
    item: AudienceItem | None,
    run: RunFacts | None,
    jobs: Sequence[JobFacts],
    reason: str,
) -> SegmentsDetail:
    """Returns the detail for an audience or a job that failed."""
    return {**_of_jobs(settings, item, run, jobs), "status": "FAILED", "reason": reason}


def run_failed(settings: WorkflowSettings, execution_arn: str, run: RunFacts | None, reason: str) -> RunDetail:
    """Returns the detail for a run that failed as a whole."""
    return {**_of_run(settings, execution_arn, run), "reason": reason}


def run_completed(settings: WorkflowSettings, execution_arn: str, run: RunFacts, counts: MapCounts) -> RunDetail:
    """Returns the detail for a run whose audiences are complete."""
    total, successes = counts.get("Total", 0), counts.get("Succeeded", 0)
    return {
        **_of_run(settings, execution_arn, run),
        "status": "SUCCEEDED" if successes == total else "FAILED",
        "total": total,
        "succeeded": successes,
        "failed": total - successes,
    }


def _of_run(settings: WorkflowSettings, execution_arn: str, run: RunFacts | None) -> RunDetail:
    detail: RunDetail = {
        "version": "1",
        "status": "FAILED",
        "workflow": settings["Workflow"],
        "executionArn": execution_arn,
        "total": 0,
        "succeeded": 0,
        "failed": 0,
    }
    if run is not None:
        detail |= {"run": run["Run"], "solutionVersionArn": run["SolutionVersionArn"]}
    return detail


def _of_jobs(
    settings: WorkflowSettings, item: AudienceItem | None, run: RunFacts | None, jobs: Sequence[JobFacts]
) -> SegmentsDetail:
    # Parts with the same queries share a job.
    by_name = {job["JobName"]: job["JobArn"] for job in jobs}
    detail: SegmentsDetail = {
        "version": "1",
        "status": "FAILED",
        "jobNames": list(by_name),
        "jobArns": list(by_name.values()),
    }
    if run is not None:
        detail["solutionVersionArn"] = run["SolutionVersionArn"]
    if item is not None:
        detail |= {"workflow": settings["Workflow"], "audience": item["Name"]}
        if run is not None:
            detail["run"] = run["Run"]
    return detail


def _query_errors(jobs: Sequence[JobFacts]) -> str:
    by_name = {job["JobName"]: job.get("QueryErrors", ERRORS_UNKNOWN) for job in jobs}
    texts = set(by_name.values())
    return texts.pop() if len(texts) == 1 else "; ".join(f"{name}: {text}" for name, text in by_name.items())
