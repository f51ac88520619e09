import pytest

from shop_jobs import session
from shop_jobs.settings import Settings, SettingsError

ENV = {
    "S3_ENDPOINT": "http://127.0.0.1:9000", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret",
    "POSTGRES_DSN": "postgres://shop:p%40ss@postgres:5432/shop?sslmode=require",
    "CLICKHOUSE_DSN": "http://shop:hush@[::1]:8123/analytics",
}


def test_everything_wrong_is_said_at_once_and_no_password_with_it():
    broken = {"POSTGRES_DSN": "mysql://shop:hush@here/shop", "CLICKHOUSE_DSN": "http://shop:hush@here:no/analytics", "SHOP_TIMEZONE": "Mars/Base"}
    with pytest.raises(SettingsError) as fault:
        Settings.from_environment(broken)
    said = str(fault.value)
    for part in ("S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY", "POSTGRES_DSN must be", "CLICKHOUSE_DSN must be", "Mars/Base"):
        assert part in said
    assert "hush" not in said


def test_passwords_are_apart_from_addresses():
    settings = Settings.from_environment(ENV)
    assert settings.postgres.url == "jdbc:postgresql://postgres:5432/shop?sslmode=require"
    assert (settings.postgres.user, settings.postgres.password) == ("shop", "p@ss")
    assert settings.clickhouse.url == "jdbc:clickhouse:http://[::1]:8123/analytics"
    assert settings.timezone == "UTC"


def test_no_option_says_where_the_job_runs():
    options = session.options(Settings.from_environment(ENV))
    assert not [name for name in options if "master" in name or "memory" in name or "executor" in name]
