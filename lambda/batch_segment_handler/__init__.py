"""The code of the Lambda functions. Needs the standard library and the boto3 of the Lambda runtime only."""
