import aws_cdk as cdk
import hypothesis
import pytest
from support.templates import ENVIRONMENT

# A busy machine takes longer to generate examples and to run them, which is not a failure.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.fixture
def app() -> cdk.App:
    return cdk.App()


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    return cdk.Stack(app, "Demo", env=ENVIRONMENT)
