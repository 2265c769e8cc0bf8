"""The user's own items, users and interactions, in the place of the sample films.

It reads a folder of the CSV files that Personalize imports, and answers queries, filters and checks from it. Nothing
here is a model: `scoring` documents the score that replaces it.
"""
