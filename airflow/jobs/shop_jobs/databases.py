"""PostgreSQL and ClickHouse through JDBC."""


class Postgres:
    def __init__(self, spark, database):
        self.spark = spark
        self.options = {
            "url": database.url, "user": database.user, "password": database.password, "driver": "org.postgresql.Driver",
        }

    def query(self, sql):
        return self.spark.read.format("jdbc").options(**self.options).option("query", sql).load()


class ClickHouse:
    """Tables of the database of CLICKHOUSE_DSN.

    Days and moments travel as text, which the server reads in the column's own zone: a driver would move them by its own.
    """

    def __init__(self, spark, database):
        self.spark = spark
        self.options = {
            "url": database.url, "user": database.user, "password": database.password,
            "driver": "com.clickhouse.jdbc.ClickHouseDriver",
        }

    def query(self, sql):
        return self.spark.read.format("jdbc").options(**self.options).option("query", sql).load()

    def append(self, frame, table):
        """Inserts rows; all of them reach the server in one block where there are fewer than batchsize."""
        (frame.write.format("jdbc").options(**self.options)
         .options(dbtable=table, batchsize=100_000, isolationLevel="NONE").mode("append").save())

    def execute(self, statement):
        jvm = self.spark._jvm
        properties = jvm.java.util.Properties()
        properties.setProperty("user", self.options["user"])
        properties.setProperty("password", self.options["password"])
        connection = jvm.com.clickhouse.jdbc.ClickHouseDriver().connect(self.options["url"], properties)
        try:
            connection.createStatement().execute(statement)
        finally:
            connection.close()
