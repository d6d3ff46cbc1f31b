"""What an integration test is given."""

from collections.abc import Iterator

import pytest

from tests.integration import postgres


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """One for each process of pytest, from the first test on that asks, which says `needs("postgresql")`."""
    with postgres.run_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: postgres.Cluster) -> Iterator[str]:
    """Of an empty database for this test alone."""
    url = postgres_cluster.fresh_database()
    yield url
    postgres_cluster.drop_database(url)
