"""What a client of the shop knows, and JSON Schema has no words for."""

import re
import uuid
from datetime import datetime, timezone

import schemathesis
from hypothesis import strategies as st

# A time may not lie before 2000, nor more than a day ahead of now: pipelines/contracts/purchases.yaml.
TIMES = st.datetimes(min_value=datetime(2000, 1, 2), max_value=datetime(2025, 12, 31), timezones=st.just(timezone.utc))
schemathesis.openapi.format("date-time", TIMES.map(datetime.isoformat))

# A cursor is what the page before said; the first page has none. Others are refused, as they should be.
schemathesis.openapi.format("cursor", st.just(""))

# A mapping is a program; most texts are none.
schemathesis.openapi.format("bloblang", st.sampled_from(["", "root = this", "root.quantity = 1"]))

IDEMPOTENCY_KEY = re.compile(r"[0-9A-Za-z_.-]{1,128}")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives each request a key of its own: one key for two requests is refused, as it should be."""
    headers = case.headers or {}
    if IDEMPOTENCY_KEY.fullmatch(headers.get("Idempotency-Key") or ""):
        headers["Idempotency-Key"] = str(uuid.uuid4())
