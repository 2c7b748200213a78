"""Start with the machine: what `ocs up` is to the service manager of this system."""

from ocs.server.boot.manager import Manager, Standing, enable_linger, here
from ocs.server.boot.service import Service, of_this_home

__all__ = ["Manager", "Service", "Standing", "enable_linger", "here", "of_this_home"]
