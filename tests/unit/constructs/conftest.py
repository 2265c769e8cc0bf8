import aws_cdk as cdk
import pytest
from support.templates import ENVIRONMENT


@pytest.fixture
def app() -> cdk.App:
    return cdk.App()


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Demo", env=ENVIRONMENT)
