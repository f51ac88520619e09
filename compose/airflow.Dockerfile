# syntax=docker/dockerfile:1
# Airflow with what the DAGs need, and Spark's client beside it in an environment of its own: the task
# run_spark_daily_job is a spark-submit from here to the cluster.
FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /jobs
COPY airflow/jobs/pom.xml .
RUN mvn -B -q dependency:copy-dependencies -DoutputDirectory=/jars

FROM apache/airflow:3.3.2-python3.11
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*
USER airflow
COPY airflow/requirements.txt /opt/airflow/requirements.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/airflow/requirements.txt
COPY airflow/jobs/requirements.txt /opt/airflow/spark-requirements.txt
RUN python -m venv /opt/airflow/spark \
 && /opt/airflow/spark/bin/pip install --no-cache-dir --no-deps --require-hashes -r /opt/airflow/spark-requirements.txt
COPY --from=jars /jars /opt/airflow/jars
COPY compose/airflow-init.sh /opt/airflow/init.sh
ENV PYTHONPATH=/opt/airflow/plugins \
    SHOP_JOBS_DIR=/opt/airflow/jobs \
    SPARK_JARS_DIR=/opt/airflow/jars \
    PYSPARK_DRIVER_PYTHON=/opt/airflow/spark/bin/python \
    PYSPARK_PYTHON=python3 \
    PATH=/opt/airflow/spark/bin:/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin
