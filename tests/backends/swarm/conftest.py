"""What the tests of a Swarm share."""

from tests.swarm_in_motion import until as until
