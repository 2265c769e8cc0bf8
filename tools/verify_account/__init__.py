"""Tests undocumented behavior of batch segment jobs in a real AWS account, and reports the results.

The library makes assumptions about Amazon Personalize that no documentation confirms. `python -m verify_account`
deploys the library's own stacks and a few probes into an account, creates small jobs, and writes a report with
evidence. Its tests run it against the local AWS.
"""
