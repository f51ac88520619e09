"""The Spark session. Its master, memory and number of executors are spark-submit's business, never set here."""

from pyspark.sql import SparkSession


def options(settings):
    """The options by which Spark finds the catalog and the objects."""
    catalog = f"spark.sql.catalog.{settings.catalog}"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalog: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalog}.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        f"{catalog}.uri": settings.postgres.url,
        f"{catalog}.jdbc.user": settings.postgres.user,
        f"{catalog}.jdbc.password": settings.postgres.password,
        # that of the Go sink, which creates the catalog's tables
        f"{catalog}.jdbc.schema-version": "V1",
        f"{catalog}.jdbc.init-catalog-tables": "false",
        f"{catalog}.warehouse": settings.warehouse,
        f"{catalog}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalog}.s3.endpoint": settings.s3_endpoint,
        f"{catalog}.s3.path-style-access": "true",
        f"{catalog}.s3.access-key-id": settings.s3_access_key,
        f"{catalog}.s3.secret-access-key": settings.s3_secret_key,
        f"{catalog}.client.region": settings.s3_region,
        # other writers commit at any moment, so a table is looked up for every query
        f"{catalog}.cache-enabled": "false",
        "spark.hadoop.fs.s3a.endpoint": settings.s3_endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": settings.s3_region,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.access.key": settings.s3_access_key,
        "spark.hadoop.fs.s3a.secret.key": settings.s3_secret_key,
        "spark.hadoop.fs.s3a.connection.ssl.enabled": str(settings.s3_endpoint.startswith("https:")).lower(),
        "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "spark.hadoop.fs.s3a.input.fadvise": "random",
        "spark.hadoop.fs.s3a.threads.max": "16",
        # I6: the business day is that of the shop, wherever the job runs
        "spark.sql.session.timeZone": settings.timezone,
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # I5: a sum that does not fit is an error, not a null
        "spark.sql.ansi.enabled": "true",
        "spark.ui.showConsoleProgress": "false",
        "spark.redaction.regex": "(?i)secret|password|token|access[.-]?key|credential",
    }


def build(settings, name):
    """Returns the session; what spark-submit was told comes first."""
    builder = SparkSession.builder.appName(name)
    for key, value in options(settings).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    return session
