"""The contract between the construct and the handler: names of the resource, its properties and its attributes.

Both import it, so a misspelled name is a type error. Never rename a released property: deployed stacks still send it in
``OldResourceProperties`` and in rollbacks.
"""

from typing import Any, Literal, TypedDict

RESOURCE_TYPE = "Custom::PersonalizeBatchSegmentJob"

#: The functions of `handler` that CDK's provider framework calls.
ON_EVENT = "on_event"
IS_COMPLETE = "is_complete"

#: The property with everything that defines a job. Changing it starts a new job. `cdk diff` shows its name.
DEFINITION: Literal["NewJobIfChanged"] = "NewJobIfChanged"


class JobDefinition(TypedDict, total=False):
    """The properties that define a job. Changing one starts a new job.

    Add a property here if Personalize cannot change it on an existing job, otherwise to `JobSettings`. CloudFormation
    delivers numbers as strings.
    """

    SolutionVersionArn: str
    SolutionArn: str
    FilterArn: str
    NumResults: int | str
    #: Input in S3, as a URI.
    InputPath: str
    #: Input that the handler stages from an asset.
    InputBucket: str
    InputPrefix: str
    InputHash: str
    InputKmsKeyArn: str
    OutputPath: str
    OutputKmsKeyArn: str
    Trigger: str


class JobSettings(TypedDict, total=False):
    """The properties that do not define a job. Changing one keeps the job."""

    #: Either the explicit name or the prefix of the derived name.
    JobName: str
    JobNamePrefix: str
    RoleArn: str
    AssetBucket: str
    AssetKey: str
    AssetKmsKeyArn: str
    #: "true" if the queries are defined in the app.
    InputIsInline: str
    QueriesPerFile: int | str
    ValidateInput: str
    WaitSeconds: int | float | str
    MaxQueryErrors: int | str
    Tags: Any
    #: A summary for `cdk diff`. The handler ignores it.
    Queries: str
    #: The range of the queries in the asset, in bytes. Default: the whole asset.
    AssetStart: int | str
    AssetLength: int | str
    #: The state machine that waits for the job and publishes its event.
    WatcherArn: str


class JobProperties(JobSettings, total=False):
    """The resource's properties in the template."""

    NewJobIfChanged: JobDefinition


class FlatProperties(JobDefinition, JobProperties, total=False):
    """The properties in the handler, with those of the definition at the top level as well."""


class JobOutcome(TypedDict):
    """The attributes that change when a job is complete."""

    Status: str
    QueryErrors: str


class JobAttributes(JobOutcome):
    """The attributes that the handler returns."""

    JobName: str
    OutputUri: str
    SolutionVersionArn: str


#: The names of the attributes for `Fn::GetAtt`.
Attribute = Literal["JobName", "OutputUri", "Status", "SolutionVersionArn", "QueryErrors"]


class Response(TypedDict, total=False):
    """The response of `handler.on_event`. The framework adds it to the event of `handler.is_complete`."""

    PhysicalResourceId: str
    Data: JobAttributes
    #: Unix time in seconds. If omitted, `is_complete` does not wait.
    Deadline: int
    #: Whether the event created the job, or adopted another job and is not part of a rollback.
    Created: bool


class Completion(TypedDict, total=False):
    """The response of `handler.is_complete`. The framework adds its ``Data`` to that of `Response`."""

    IsComplete: bool
    Data: JobOutcome
