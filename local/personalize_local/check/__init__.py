"""The command ``personalize-local check``: the handler's own check of queries, and their reach in the user's own data.

This is the only part of the local AWS that runs code of the handler, because it shows that code's answer.
"""
