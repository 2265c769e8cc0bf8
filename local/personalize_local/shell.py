"""What of the shell's environment must not reach what runs on the local AWS, and what stands in its place."""

from collections.abc import Iterable, Mapping

_LOCAL = ("127.0.0.1", "localhost")


def foreign(environment: Iterable[str]) -> list[str]:
    """The variables that would lead to the real AWS or change how its SDKs work: all that begin with ``AWS_``.

    One of a service, for example ``AWS_ENDPOINT_URL_S3``, wins over ``AWS_ENDPOINT_URL``:
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    return sorted(name for name in environment if name.startswith("AWS_"))


def without_foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that are :func:`foreign`."""
    names = set(foreign(environment))
    return {name: value for name, value in environment.items() if name not in names}


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep requests to this machine from a proxy, added to what is set.

    Programs differ in which of the two they read, so both have the same value.
    """
    given = ",".join(filter(None, (environment.get("NO_PROXY"), environment.get("no_proxy"))))
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    value = ",".join(dict.fromkeys([*hosts, *_LOCAL]))
    return {"NO_PROXY": value, "no_proxy": value}
