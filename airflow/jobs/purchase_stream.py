"""Kafka topic purchases -> RAW with Structured Streaming, in place of pipelines/purchases_raw.yaml, and hourly windows.

    spark-submit … purchase_stream.py --every 30s
    spark-submit … purchase_stream.py --available-now

Run either this or the stream purchases_raw, not both: they share a consumer group, and take over from each other.
"""

import sys

from shop_jobs import stream_command

if __name__ == "__main__":
    sys.exit(stream_command.main(sys.argv[1:]))
