"""Our Prefect worker type, found by Prefect through the `prefect.collections` entry point."""

from ocs.worker.worker import OpenClawWorker

__all__ = ["OpenClawWorker"]
