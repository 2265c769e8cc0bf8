"""An account, its ARNs, and the statuses of stacks."""

ACCOUNT = "123456789012"
REGION = "eu-west-1"
SOLUTION = f"arn:aws:personalize:{REGION}:{ACCOUNT}:solution/films"
VERSION = f"{SOLUTION}/0123abcd"
FILTER = f"arn:aws:personalize:{REGION}:{ACCOUNT}:filter/adults"

#: The final statuses of successful deployments.
CREATED, UPDATED, DELETED = "CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"
#: The final statuses of a failed creation and a failed update.
NOT_CREATED, ROLLED_BACK = "ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"
#: The physical ID that CDK's provider framework gives a resource whose creation failed.
CREATE_FAILED_MARKER = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"
