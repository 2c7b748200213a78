"""Measurements: our worker beside Prefect's stock process worker, in one run on one server."""
