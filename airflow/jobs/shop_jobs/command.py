"""The command line of the daily job."""

import argparse
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from shop_jobs import daily, session
from shop_jobs.settings import Settings, SettingsError

MOST_DAYS = 400
USAGE, DIFFERENT = 2, 4


def arguments(argv, settings):
    parser = argparse.ArgumentParser(prog="daily_job.py", description="Recompute the statistics of days from STAGE.")
    parser.add_argument("--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="one day (default: yesterday in the shop's zone)")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the first day of a range")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="YYYY-MM-DD", help="the last day of a range")
    parser.add_argument("--repair", action="store_true", help="have live statistics that differ computed again from their rows")
    parser.add_argument("--no-facts", action="store_true", help="leave the Iceberg table alone")
    parser.add_argument("--keep-snapshots", type=int, default=3, metavar="DAYS", help="how long snapshots of the Iceberg table stay (3)")
    parsed = parser.parse_args(argv)
    if parsed.date and (parsed.first or parsed.last) or bool(parsed.first) != bool(parsed.last):
        parser.error("give --date, or --from and --to")
    if parsed.first:
        if parsed.last < parsed.first:
            parser.error("--to is before --from")
        if (parsed.last - parsed.first).days >= MOST_DAYS:
            parser.error(f"a range has at most {MOST_DAYS} days: run it in pieces")
        parsed.days = [parsed.first + timedelta(days=n) for n in range((parsed.last - parsed.first).days + 1)]
    else:
        yesterday = datetime.now(UTC).astimezone(ZoneInfo(settings.timezone)).date() - timedelta(days=1)
        parsed.days = [parsed.date or yesterday]
    return parsed


def main(argv):
    try:
        settings = Settings.from_environment()
    except SettingsError as fault:
        print(f"daily_job: {fault}", file=sys.stderr)
        return USAGE
    parsed = arguments(argv, settings)
    clock = daily.Clock()
    with clock.stage("start Spark"):
        spark = session.build(settings, "daily_job " + " to ".join(sorted({str(parsed.days[0]), str(parsed.days[-1])})))
    try:
        report = daily.run(spark, settings, parsed.days, clock, facts=not parsed.no_facts, repair=parsed.repair,
                           keep_snapshots=parsed.keep_snapshots)
    finally:
        spark.stop()
    print(report.text(clock))
    return DIFFERENT if report.wrong else 0
