#!/usr/bin/env bash
# Brings Airflow's database to this version and writes the password of its one user. Safe to run again.
set -euo pipefail
umask 077
printf '{"admin": "%s"}\n' "${AIRFLOW_ADMIN_PASSWORD:?is not set}" > /opt/airflow/secrets/passwords.json.new
mv /opt/airflow/secrets/passwords.json.new /opt/airflow/secrets/passwords.json
exec airflow db migrate
