"""Calls of AWS services by state machines: names of parameters and results, and names of errors.

Step Functions names members as the AWS SDK for Java 2 does, in PascalCase, and errors by its exceptions:
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

import datetime
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from ministack.services import stepfunctions

from .roles import Roles

# The names in boto3 of services that have another name in state machines.
_BOTO3_NAMES = {
    "sfn": "stepfunctions",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
    "rdsdata": "rds-data",
    "elasticloadbalancingv2": "elbv2",
}
# The base class of a service's exceptions in the AWS SDK for Java 1, which the optimized integrations name. AWS's
# documentation shows those of Lambda and DynamoDB. The others are assumed.
_OPTIMIZED_NAMES = {
    "events": ("EventBridge", "AmazonEventBridgeException"),
    "sqs": ("SQS", "AmazonSQSException"),
    "sns": ("SNS", "AmazonSNSException"),
    "dynamodb": ("DynamoDB", "AmazonDynamoDBException"),
    "stepfunctions": ("StepFunctions", "AWSStepFunctionsException"),
}


def call_sdk(roles: Roles, role_arn: str, session: str, service: str, action: str, parameters: Any) -> Any:
    """Makes the call of an ``aws-sdk`` task.

    Args:
        roles: Makes clients.
        role_arn: The state machine's role.
        session: The name of the role's session.
        service: The service's name in the task's resource, for example ``"sfn"``.
        action: The operation in camelCase, for example ``"describeMapRun"``.
        parameters: The task's parameters.

    Returns:
        The task's result.

    Raises:
        stepfunctions._ExecutionError: The call fails.
    """
    prefix = stepfunctions._AWS_SDK_ERROR_PREFIX.get(service, service[:1].upper() + service[1:])
    name = _BOTO3_NAMES.get(service, service)
    return _call(roles.client(name, role_arn, session), action, parameters, prefix, f"{prefix}Exception")


def call_optimized(roles: Roles, role_arn: str, session: str, service: str, action: str, parameters: Any) -> Any:
    """Makes the call of an optimized integration, for example ``events:putEvents``. See `call_sdk`."""
    prefix, base = _OPTIMIZED_NAMES[service]
    return _call(roles.client(service, role_arn, session), action, parameters, prefix, base)


def _call(client: Any, action: str, parameters: Any, prefix: str, base: str) -> Any:
    operation = action[:1].upper() + action[1:]
    model = client.meta.service_model
    if operation not in model.operation_names:
        raise stepfunctions._ExecutionError("States.Runtime", f"{prefix} has no operation {action!r}")
    shape = model.operation_model(operation)
    wire = _to_wire(parameters or {}, shape.input_shape) if shape.input_shape is not None else {}
    method = next(name for name, api in client.meta.method_to_api_mapping.items() if api == operation)
    try:
        answer = getattr(client, method)(**wire)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        name = next((_error_name(known) for known in shape.error_shapes if code in _codes(known)), base)
        raise stepfunctions._ExecutionError(
            f"{prefix}.{name}", f"{message} (Service: {prefix}, Status Code: {_status(error)})"
        ) from error
    except BotoCoreError as error:
        # For example, a required parameter is missing.
        raise stepfunctions._ExecutionError("States.Runtime", f"{action}: {error}") from error
    answer.pop("ResponseMetadata", None)
    return _from_wire(answer, shape.output_shape) if shape.output_shape is not None else {}


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _codes(shape: Any) -> tuple[str, str]:
    return shape.name, shape.metadata.get("error", {}).get("code", shape.name)


def _error_name(shape: Any) -> str:
    name: str = shape.name
    return name if name.endswith("Exception") else f"{name}Exception"


def _to_wire(value: Any, shape: Any) -> Any:
    """Renames members as the API names them."""
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {stepfunctions._api_name_to_sfn_key(name): name for name in shape.members} | {
            name: name for name in shape.members
        }
        return {
            names.get(key, key): _to_wire(item, shape.members[names[key]]) if key in names else item
            for key, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_to_wire(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _to_wire(item, shape.value) for key, item in value.items()}
    if shape.type_name == "string" and isinstance(value, (dict, list)):
        # A parameter that holds JSON may be given as JSON.
        return json.dumps(value)
    return value


def _from_wire(value: Any, shape: Any) -> Any:
    """Renames members as Step Functions names them, and turns values into JSON."""
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if shape.type_name == "structure":
        return {
            stepfunctions._api_name_to_sfn_key(name): _from_wire(item, shape.members[name])
            for name, item in value.items()
            if name in shape.members
        }
    if shape.type_name == "list":
        return [_from_wire(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: _from_wire(item, shape.value) for key, item in value.items()}
    return value
