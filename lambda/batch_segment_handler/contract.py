"""The contract between the construct and the handler: names of the resource, its properties and its attributes.

Both sides import it, so that a misspelled name is a type error. Deployed stacks keep sending the old names, in
``OldResourceProperties`` and in rollbacks, so a released name stays.
"""

from typing import Any, Literal, TypedDict

RESOURCE_TYPE = "Custom::PersonalizeBatchSegmentJob"

#: The functions of `handler` that CDK's provider framework calls.
ON_EVENT = "on_event"
IS_COMPLETE = "is_complete"

#: The property that holds everything that defines a job. A change in it starts a new job; `cdk diff` shows its name.
DEFINITION: Literal["NewJobIfChanged"] = "NewJobIfChanged"


class JobDefinition(TypedDict, total=False):
    """The properties that define a job: any change is a new job.

    A new property belongs here if `CreateBatchSegmentJob` cannot apply it to an existing job, else in `JobSettings`.
    CloudFormation delivers numbers as text.
    """

    SolutionVersionArn: str
    SolutionArn: str
    FilterArn: str
    NumResults: int | str
    #: Input in S3, as a URI.
    InputPath: str
    #: Input that is staged from an asset.
    InputBucket: str
    InputPrefix: str
    InputHash: str
    InputKmsKeyArn: str
    OutputPath: str
    OutputKmsKeyArn: str
    Trigger: str


class JobSettings(TypedDict, total=False):
    """The properties that define nothing: a change keeps the job."""

    #: Either the name or the start of the derived name.
    JobName: str
    JobNamePrefix: str
    RoleArn: str
    AssetBucket: str
    AssetKey: str
    AssetKmsKeyArn: str
    #: "true" if the queries were given in Python.
    InputIsInline: str
    QueriesPerFile: int | str
    ValidateInput: str
    WaitSeconds: int | float | str
    MaxQueryErrors: int | str
    Tags: Any
    #: A summary for the reader of `cdk diff`. The handler ignores it.
    Queries: str
    #: The first byte of the queries in the asset and their number of bytes. Without them, all of the asset.
    AssetStart: int | str
    AssetLength: int | str
    #: The state machine that waits for the job and publishes its end.
    WatcherArn: str


class JobProperties(JobSettings, total=False):
    """The resource's properties, as the template has them."""

    NewJobIfChanged: JobDefinition


class FlatProperties(JobDefinition, JobProperties, total=False):
    """The properties as the handler works with them: those of the definition stand beside the settings as well."""


class JobOutcome(TypedDict):
    """The attributes that are known when a job is complete."""

    Status: str
    QueryErrors: str


class JobAttributes(JobOutcome):
    """The attributes that the handler returns."""

    JobName: str
    OutputUri: str
    SolutionVersionArn: str


#: The attributes' names, for `Fn::GetAtt`.
Attribute = Literal["JobName", "OutputUri", "Status", "SolutionVersionArn", "QueryErrors"]


class Response(TypedDict, total=False):
    """The response of `handler.on_event`. The framework adds it to the event of `handler.is_complete`."""

    PhysicalResourceId: str
    Data: JobAttributes
    #: Unix time in seconds. Without it, `is_complete` has nothing to wait for.
    Deadline: int
    #: Whether the event created the job, or adopted another job and is not part of a rollback.
    Created: bool


class Completion(TypedDict, total=False):
    """The response of `handler.is_complete`. The framework adds its ``Data`` to that of `Response`."""

    IsComplete: bool
    Data: JobOutcome
