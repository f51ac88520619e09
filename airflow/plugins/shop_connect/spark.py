from __future__ import annotations

import os
from pathlib import Path


def spark_jars() -> str:
    """Return the jars that spark-submit is to add, from folder SPARK_JARS_DIR; none where Spark itself has them."""
    folder = os.environ.get("SPARK_JARS_DIR")
    return ",".join(sorted(map(str, Path(folder).glob("*.jar")))) if folder else ""
