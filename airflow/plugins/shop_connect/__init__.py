"""Airflow provider of shop-connect: batch runs as deferrable tasks."""

from __future__ import annotations

__version__ = "1.0.0"
