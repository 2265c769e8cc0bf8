"""The code of the Lambda functions. Requires only the standard library and the Lambda runtime's boto3."""
