"""A local AWS with Amazon Personalize, for trials and tests. It is never deployed."""
