"""An AWS on this machine that has Amazon Personalize: for trying and testing, nothing of it is deployed."""
