"""Asks a real AWS account what nobody has published about batch segment jobs, and reports the answers.

The library rests on assumptions about Amazon Personalize that no documentation confirms. `python -m verify_account`
deploys the library's own stacks and a few probes into an account, creates small jobs, and writes what happened with
its evidence. It runs against the local AWS as well, which is how it is tested.
"""
