"""The servers, by the environment variables that everything in this project finds them by."""

import os
import zoneinfo
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

WANTED = ("S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "POSTGRES_DSN", "CLICKHOUSE_DSN")


class SettingsError(Exception):
    """Says everything that is wrong with the environment, at once."""


@dataclass(frozen=True)
class Database:
    """A JDBC connection. The user and password are no part of the URL, which may be printed."""

    url: str
    user: str
    password: str


@dataclass(frozen=True)
class Settings:
    s3_endpoint: str
    s3_region: str
    s3_access_key: str
    s3_secret_key: str
    postgres: Database
    clickhouse: Database
    clickhouse_database: str
    timezone: str
    stage_bucket: str = "shop-stage-data"
    raw_bucket: str = "shop-raw-data"
    catalog: str = "shop"
    warehouse: str = "s3://analytics/"

    @classmethod
    def from_environment(cls, env=None):
        env = os.environ if env is None else env
        faults = []
        missing = [name for name in WANTED if not env.get(name)]
        if missing:
            faults.append("environment variables are not set: " + ", ".join(missing))
        postgres = clickhouse = None
        if env.get("POSTGRES_DSN"):
            postgres = _database(env["POSTGRES_DSN"], "POSTGRES_DSN", ("postgres", "postgresql"), faults)
        if env.get("CLICKHOUSE_DSN"):
            clickhouse = _database(env["CLICKHOUSE_DSN"], "CLICKHOUSE_DSN", ("http", "https"), faults)
        endpoint = env.get("S3_ENDPOINT", "")
        if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
            faults.append("S3_ENDPOINT must be a URL such as http://127.0.0.1:9000")
        timezone = env.get("SHOP_TIMEZONE") or "UTC"
        try:
            zoneinfo.ZoneInfo(timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            faults.append(f"SHOP_TIMEZONE is {timezone!r}, which is no time zone: name one such as Europe/London")
        if faults:
            raise SettingsError("; ".join(faults))
        return cls(
            s3_endpoint=endpoint,
            s3_region=env.get("S3_REGION") or "us-east-1",
            s3_access_key=env["S3_ACCESS_KEY"],
            s3_secret_key=env["S3_SECRET_KEY"],
            postgres=_jdbc_postgres(postgres),
            clickhouse=_jdbc_clickhouse(clickhouse),
            clickhouse_database=_name(clickhouse),
            timezone=timezone,
        )


def _database(dsn, name, schemes, faults):
    """Splits a DSN. What is wrong is said without the DSN itself, which holds a password."""
    parts = urlsplit(dsn)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in schemes or not parts.hostname or port == -1 or not parts.path.strip("/"):
        faults.append(f"{name} must be {schemes[0]}://user:password@host:port/database")
        return None
    return parts


def _name(parts):
    return parts.path.strip("/")


def _address(parts):
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if parts.port is None else f"{host}:{parts.port}"


def _jdbc_postgres(parts):
    # of the parameters of a libpq URL, those that the driver knows under the same name
    known = {k: v for k, v in parse_qsl(parts.query) if k in ("sslmode", "sslrootcert", "sslcert", "sslkey")}
    url = f"jdbc:postgresql://{_address(parts)}/{_name(parts)}"
    if known:
        url += "?" + urlencode(known)
    return Database(url, unquote(parts.username or ""), unquote(parts.password or ""))


def _jdbc_clickhouse(parts):
    scheme = "jdbc:clickhouse:" + parts.scheme
    url = f"{scheme}://{_address(parts)}/{_name(parts)}"
    return Database(url, unquote(parts.username or "default"), unquote(parts.password or ""))
