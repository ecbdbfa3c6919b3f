"""What tests of verifiers share: generated cases without a limit on the clock, and servers of workers that are warm."""

from multiprocessing import forkserver

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def math_server():
    """Lets the next pool start a server that has imported what math's workers need.

    A process has one server of workers. Where another pool's came first, each worker imports math-verify by itself,
    which takes seconds for every one that is killed and replaced.
    """
    forkserver._forkserver._stop()


@pytest.fixture(scope="session")
def reasoning_gym_server():
    """The same for workers that import reasoning-gym."""
    forkserver._forkserver._stop()
