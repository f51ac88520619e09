"""The command line of the streaming job."""

import argparse
import os
import sys

from shop_jobs import session
from shop_jobs.settings import Settings, SettingsError
from shop_jobs.stream import RawStream

USAGE = 2


def main(argv):
    parser = argparse.ArgumentParser(prog="purchase_stream.py", description="Kafka topic purchases -> RAW and hourly windows.")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--every", metavar="INTERVAL", help="run until stopped, a batch at most so often, as 30s or 1 minute")
    when.add_argument("--available-now", action="store_true", help="take what there is, then end")
    parser.add_argument("--checkpoint", default="s3a://analytics/_spark/purchase_stream", metavar="URL", help="where the stream keeps its state")
    parser.add_argument("--per-batch", type=int, default=1_000_000, metavar="RECORDS", help="records in a batch at most (1,000,000)")
    parsed = parser.parse_args(argv)
    brokers = os.environ.get("KAFKA_BROKERS")
    try:
        settings = Settings.from_environment()
    except SettingsError as fault:
        print(f"purchase_stream: {fault}", file=sys.stderr)
        return USAGE
    if not brokers:
        print("purchase_stream: environment variables are not set: KAFKA_BROKERS", file=sys.stderr)
        return USAGE
    spark = session.build(settings, "purchase_stream")
    trigger = {"availableNow": True} if parsed.available_now else {"processingTime": parsed.every}
    RawStream(spark, settings, brokers, parsed.checkpoint, parsed.per_batch).run(trigger)
    return 0
