"""Recomputes the statistics of a day, or of each day of a range, from STAGE, and holds the live ones against them.

    spark-submit … daily_job.py --date 2026-01-02
    spark-submit … daily_job.py --from 2026-01-01 --to 2026-01-31

Exits with 0 where all figures agree, 4 where some differ, 2 for wrong arguments or settings, 1 for anything else.
"""

import sys

from shop_jobs import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:]))
