"""The contract between a workflow's construct, state machine and functions, and the public contract of its events.

All sides import it, so a misspelled name is a type error.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict

#: The functions of `workflow` that the state machines call.
START = "start"
DESCRIBE = "describe"


class AudiencePart(TypedDict, total=False):
    """The queries of one job of an audience. Queries that need more than 1000 files form several parts."""

    #: For queries of the app: their SHA-256 in hex, and their range in the asset, in bytes.
    InputHash: str
    AssetStart: int
    AssetLength: int
    #: For queries in S3: the index in `WorkflowSettings.Inputs`.
    Input: int


class AudienceItem(TypedDict, total=False):
    """A line of the manifest: an audience. The manifest is an asset, so every value is known at synth time."""

    Name: Required[str]
    JobNamePrefix: Required[str]
    #: At least one. Their jobs run one after another.
    Parts: Required[list[AudiencePart]]
    #: The index in `WorkflowSettings.Filters`.
    Filter: int
    NumResults: int
    QueriesPerFile: int
    #: "true" if the queries are defined in the app.
    InputIsInline: str
    Tags: dict[str, str]


class ExistingInputSettings(TypedDict, total=False):
    """Queries in S3."""

    InputPath: Required[str]
    InputKmsKeyArn: str
    ValidateInput: str


class TableSettings(TypedDict):
    """The Glue table of a workflow's segments."""

    Database: str
    Table: str
    #: Glue's ``StorageDescriptor`` of a partition, without ``Location``.
    StorageDescriptor: dict[str, Any]


class WorkflowSettings(TypedDict, total=False):
    """The settings of all audiences of a workflow. The state machine contains them, so they can be tokens."""

    #: The workflow's name in events and metrics.
    Workflow: Required[str]
    StackId: Required[str]
    SolutionVersionArn: str
    SolutionArn: str
    OnlyNewVersions: bool
    #: The maximum duration of a run, in seconds.
    TimeoutSeconds: int
    RoleArn: str
    AssetBucket: str
    AssetKey: str
    AssetKmsKeyArn: str
    InputBucket: str
    InputPrefix: str
    InputKmsKeyArn: str
    #: The output prefix, as a URI that ends in "/". An audience's segments go to
    #: ``<OutputPath>audience=<name>/run=<run>/<job name>/``.
    OutputPath: str
    OutputKmsKeyArn: str
    Filters: list[str]
    Inputs: list[ExistingInputSettings]
    #: The tags of all jobs, as a list of ``key`` and ``value``. An audience's own tags override them.
    Tags: Any
    Table: TableSettings


class RunFacts(TypedDict, total=False):
    """The facts of a run, determined once before its jobs start."""

    #: The run's key, ``yyyymmddThhmmssZ``: the scheduled time, or with `WorkflowSettings.OnlyNewVersions` the time at
    #: which the solution version was created.
    Run: Required[str]
    SolutionVersionArn: Required[str]
    #: When the run started, and when its audiences time out, as Unix time in seconds.
    Started: Required[int]
    Deadline: Required[int]


#: The status of a step: no job can run now, a job runs, a job may be complete already, the audience's next job can
#: start, the audience succeeded, or it failed.
StepStatus = Literal["BUSY", "IN_PROGRESS", "CHECK", "NEXT_PART", "SUCCEEDED", "FAILED"]


class JobFacts(TypedDict, total=False):
    """A job of an audience."""

    JobName: Required[str]
    JobArn: Required[str]
    OutputUri: Required[str]
    #: "none", or how many queries failed, once the job is complete.
    QueryErrors: str


class Progress(TypedDict, total=False):
    """The response of a step of an audience, and the ``Progress`` of the next one."""

    Status: Required[StepStatus]
    #: The audience's jobs so far, one for each part that was started.
    Jobs: list[JobFacts]
    #: Why no job can run now.
    Reason: str
    #: The detail of the event to publish, if the status is final.
    Detail: "SegmentsDetail"


class Preparation(TypedDict, total=False):
    """The response of a run's first step: either the facts or the detail of the event to publish."""

    Status: Required[Literal["READY", "FAILED"]]
    Run: RunFacts
    Detail: "RunDetail"


class Fault(TypedDict):
    """An error that a state caught."""

    Error: str
    Cause: str


class MapCounts(TypedDict, total=False):
    """The numbers of audiences, as Step Functions' DescribeMapRun counts them."""

    Total: int
    Succeeded: int
    Failed: int


#: The tasks of the functions: the first two of `START`, the others of `DESCRIBE`.
Task = Literal["Prepare", "Start", "Describe", "ReportFault", "Complete"]


class TaskEvent(TypedDict, total=False):
    """The event of a function: its task, and the members that the task needs."""

    Task: Required[Task]
    Settings: Required[WorkflowSettings]
    #: For "Prepare": the input of the execution, which can name the run as ``{"run": "2026-11-30T03:00:00Z"}``.
    Input: Any
    #: For "Prepare" and "Complete": the execution, and its start in ISO 8601.
    ExecutionArn: str
    StartTime: str
    #: For "Start", "Describe" and "ReportFault". A job created at deploy time has no audience and no run.
    Audience: AudienceItem
    #: Also for "Complete", unless the run failed before.
    Run: RunFacts
    Progress: Progress
    #: For "ReportFault", and for "Complete" if the run failed as a whole.
    Fault: Fault
    #: For "Complete", unless the run failed as a whole.
    Counts: MapCounts


class Completion(TypedDict):
    """The response of "Complete"."""

    Detail: "RunDetail"


# -- events, a public contract

EVENT_SOURCE = "cdk-personalize-segments"
SEGMENTS_SUCCEEDED = "Personalize Segments Succeeded"
SEGMENTS_FAILED = "Personalize Segments Failed"
RUN_COMPLETED = "Personalize Segments Run Completed"


class SegmentsDetail(TypedDict):
    """The detail of the events of an audience, or of a job that the stack created."""

    version: Literal["1"]
    status: Literal["SUCCEEDED", "FAILED"]
    #: The workflow's name, the audience's name and the run's key. A job created at deploy time has none.
    workflow: NotRequired[str]
    audience: NotRequired[str]
    run: NotRequired[str]
    #: The jobs: one, or several if the queries need more than 1000 files; none if no job started.
    jobNames: list[str]
    jobArns: list[str]
    #: The folder of the segments, as a URI that ends in "/". It holds the segments of all jobs.
    outputUri: NotRequired[str]
    solutionVersionArn: NotRequired[str]
    #: "none", or how many queries failed, as the attribute ``QueryErrors`` of a job. Only if the status is SUCCEEDED.
    queryErrors: NotRequired[str]
    #: Only if the status is FAILED.
    reason: NotRequired[str]


class RunDetail(TypedDict):
    """The detail of the event that a run is complete."""

    version: Literal["1"]
    #: SUCCEEDED if all audiences succeeded, FAILED otherwise.
    status: Literal["SUCCEEDED", "FAILED"]
    workflow: str
    executionArn: str
    run: NotRequired[str]
    solutionVersionArn: NotRequired[str]
    #: The numbers of audiences. They are 0 if the run failed before its first audience.
    total: int
    succeeded: int
    failed: int
    #: Why the run failed as a whole.
    reason: NotRequired[str]
