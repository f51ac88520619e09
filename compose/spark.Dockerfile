# syntax=docker/dockerfile:1
# Spark's master and workers, with the jars of the jobs: executors need them where the driver is another machine.
FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /jobs
COPY airflow/jobs/pom.xml .
RUN mvn -B -q dependency:copy-dependencies -DoutputDirectory=/jars

# of the version of pyspark in airflow/jobs/requirements.txt
FROM apache/spark:4.1.1-scala2.13-java17-python3-ubuntu
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl \
 && rm -rf /var/lib/apt/lists/*
COPY --from=jars /jars /opt/spark/jars
USER spark
