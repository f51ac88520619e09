"""The streaming job: each micro-batch becomes RAW objects under the names that the stream purchases_raw gives them."""

import json

from pyspark import StorageLevel
from pyspark.errors import StreamingQueryException
from pyspark.sql import functions as F

from shop_jobs import records
from shop_jobs.databases import ClickHouse

TOPIC, GROUP, ENTITY = "purchases", "purchases-raw", "purchases"
CONTRACT_VERSION = 1


class RawStream:
    def __init__(self, spark, settings, brokers, checkpoint, per_batch):
        self.spark, self.settings, self.brokers = spark, settings, brokers
        self.checkpoint, self.per_batch = checkpoint, per_batch
        self.bucket = f"s3a://{settings.raw_bucket}"
        self.clickhouse = ClickHouse(spark, settings.clickhouse)
        self.fs = spark._jvm.org.apache.hadoop.fs.Path(self.bucket + "/").getFileSystem(spark._jsc.hadoopConfiguration())

    def start(self, trigger):
        # by what every broker answers; the embedded one does not describe topics as Kafka's newest clients ask for it
        self.spark.conf.set("spark.sql.streaming.kafka.useDeprecatedOffsetFetching", "true")
        source = (self.spark.readStream.format("kafka").option("kafka.bootstrap.servers", self.brokers)
                  .option("subscribe", TOPIC).option("startingOffsets", self._starting_offsets())
                  .option("maxOffsetsPerTrigger", self.per_batch).option("failOnDataLoss", "true").load())
        return (source.writeStream.queryName("purchases_raw").option("checkpointLocation", self.checkpoint)
                .trigger(**trigger).foreachBatch(self.write).start())

    def run(self, trigger):
        """Runs until the trigger is done. Spark 4.1 fails to report the progress of a batch that a crash interrupted, once
        it has written it: the query goes on from the checkpoint."""
        for left in (True, False):
            try:
                self.start(trigger).awaitTermination()
                return
            except StreamingQueryException as error:
                if not left or "KafkaMicroBatchStream$.metrics" not in str(error) and "IterableOps.map" not in str(error):
                    raise

    def write(self, batch, number):
        """Writes one batch. It may come again after a crash, with the same records under the same number: every step
        writes over what it wrote before, and the group's offsets are last (I2)."""
        rows = records.parsed(batch).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            places = {row._partition: (row.first, row.last) for row in rows.groupBy("_partition").agg(
                F.min("_offset").alias("first"), F.max("_offset").alias("last")).collect()}
            if not places:
                return
            written = self._objects(rows, places, number)
            self._register(written)
            records.refused(rows, "raw", CONTRACT_VERSION).write.format("kafka").option(
                "kafka.bootstrap.servers", self.brokers).option("kafka.acks", "all").save()
            self._hours(rows, number)
            self._commit({partition: last + 1 for partition, (_, last) in places.items()})
        finally:
            rows.unpersist()

    def _objects(self, rows, places, number):
        """Puts an object per partition and day: key, size, ETag, rows and last offset of each."""
        work = f"{self.bucket}/_spark/{TOPIC}/{number}"
        good = records.taken(rows)
        (good.withColumn("_at", F.col("_partition")).repartition("_partition", "purchase_date")
         .sortWithinPartitions("_partition", "purchase_date", "_offset")
         .write.mode("overwrite").option("compression", "zstd").partitionBy("purchase_date", "_at").parquet(work))
        counts = {(str(row.purchase_date), row._partition): (row.n, row.last) for row in good.groupBy("purchase_date", "_partition").agg(
            F.count(F.lit(1)).alias("n"), F.max("_offset").alias("last")).collect()}
        path = self.spark._jvm.org.apache.hadoop.fs.Path
        written = []
        for (day, partition), (count, last) in sorted(counts.items()):
            [part] = [f for f in self.fs.listStatus(path(f"{work}/purchase_date={day}/_at={partition}")) if f.getPath().getName().startswith("part-")]
            key = f"{ENTITY}/purchase_date={day}/{TOPIC}-{partition}-{places[partition][0]}.parquet"
            target = path(f"{self.bucket}/{key}")
            self.fs.delete(target, False)
            if not self.fs.rename(part.getPath(), target):
                raise RuntimeError(f"putting {key}: the store did not rename {part.getPath()}; the batch is written again at the next start")
            status = self.fs.getFileStatus(target)
            written.append((key, status.getLen(), status.getEtag().strip('"'), count, last))
        self.fs.delete(path(work), True)
        return written

    def _register(self, objects):
        """Tells the ledger, by which copy_raw_to_stage finds objects without listing the bucket."""
        properties = self.spark._jvm.java.util.Properties()
        properties.setProperty("user", self.settings.postgres.user)
        properties.setProperty("password", self.settings.postgres.password)
        connection = self.spark._jvm.org.postgresql.Driver().connect(self.settings.postgres.url, properties)
        try:
            statement = connection.prepareStatement("""
                INSERT INTO raw_objects AS known (bucket, entity, key, etag, size, rows, last_offset) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (bucket, key) DO UPDATE SET
                    etag = excluded.etag, size = excluded.size, rows = excluded.rows, last_offset = excluded.last_offset,
                    written_at = excluded.written_at, registered_at = excluded.registered_at,
                    pending = known.pending OR known.etag <> excluded.etag
                WHERE known.last_offset <= excluded.last_offset""")
            for key, size, etag, count, last in objects:
                for at, text in enumerate((self.settings.raw_bucket, ENTITY, key, etag), 1):
                    statement.setString(at, text)
                for at, value in enumerate((size, count, last), 5):
                    statement.setLong(at, value)
                statement.executeUpdate()
        finally:
            connection.close()

    def _hours(self, rows, number):
        """A batch's share of each hour; a batch that comes again replaces its share."""
        seconds = (F.unix_micros("hour") / 1_000_000).cast("bigint").cast("string")
        shares = records.hours(rows.where("reasons IS NULL")).select(
            seconds.alias("hour"), F.lit(number).cast("bigint").alias("batch"), "events", "items", "revenue")
        self.clickhouse.append(shares.coalesce(1), "stream_purchase_hours")

    def _properties(self):
        properties = self.spark._jvm.java.util.Properties()
        properties.setProperty("bootstrap.servers", self.brokers)
        return properties

    def _admin(self):
        return self.spark._jvm.org.apache.kafka.clients.admin.Admin.create(self._properties())

    def _starting_offsets(self):
        """Where the stream of Connect stopped; a checkpoint, once there is one, comes first."""
        admin = self._admin()
        try:
            found = admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().get()
            committed = {entry.getKey().partition(): entry.getValue().offset() for entry in found.entrySet()
                         if entry.getKey().topic() == TOPIC and entry.getValue() is not None}
        finally:
            admin.close()
        # -2 is the earliest that there is
        return json.dumps({TOPIC: {str(partition): committed.get(partition, -2) for partition in self._partitions()}})

    def _partitions(self):
        bytes_as_they_are = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
        properties = self._properties()
        properties.setProperty("key.deserializer", bytes_as_they_are)
        properties.setProperty("value.deserializer", bytes_as_they_are)
        consumer = self.spark._jvm.org.apache.kafka.clients.consumer.KafkaConsumer(properties)
        try:
            return sorted(info.partition() for info in consumer.partitionsFor(TOPIC))
        finally:
            consumer.close()

    def _commit(self, ends):
        """Commits for the consumer group of Connect's stream, so that either goes on where the other stopped and
        process_kafka_data sees how far RAW is. Kafka refuses it while Connect's stream is running."""
        jvm = self.spark._jvm
        offsets = jvm.java.util.HashMap()
        for partition, offset in ends.items():
            offsets.put(jvm.org.apache.kafka.common.TopicPartition(TOPIC, partition),
                        jvm.org.apache.kafka.clients.consumer.OffsetAndMetadata(offset))
        admin = self._admin()
        try:
            admin.alterConsumerGroupOffsets(GROUP, offsets).all().get()
        finally:
            admin.close()
