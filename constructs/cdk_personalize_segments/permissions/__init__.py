"""Every statement that the library writes into a policy, one function for each principal.

The modules only write statements. `functions`, `workflow_machine`, `watcher`, `service_access`, `segment_access` and
`batch_segment_storage` attach them. `docs/permissions.md` lists the result, and `tests/policy` proves that each
statement is needed and sufficient.
"""
