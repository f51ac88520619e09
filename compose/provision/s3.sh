#!/bin/sh
# Makes the users of the S3 store and says what each may do: shop writes, spark works on the tables, reader reads.
# Buckets are made by `shop-connect provision`. Safe to run again: a changed password or policy takes effect.
# Needs mc, and S3_URL, S3_ADMIN_ACCESS_KEY, S3_ADMIN_SECRET_KEY, S3_SHOP_SECRET_KEY, S3_SPARK_SECRET_KEY, S3_READER_SECRET_KEY.
set -eu

: "${S3_URL:?is not set}" "${S3_ADMIN_ACCESS_KEY:?is not set}" "${S3_ADMIN_SECRET_KEY:?is not set}"
policies=$(dirname "$0")/s3

mc alias set store "$S3_URL" "$S3_ADMIN_ACCESS_KEY" "$S3_ADMIN_SECRET_KEY" > /dev/null

user() { # name, secret key
    if [ "${#2}" -lt 16 ]; then echo "s3.sh: the secret key of $1 has fewer than 16 characters" >&2; exit 1; fi
    mc admin user add store "$1" "$2" > /dev/null
    # a policy of the same name is replaced
    mc admin policy create store "$1" "$policies/$1.json" > /dev/null
    # attaching what is attached is an error, so what is attached is looked at first
    mc admin user info store "$1" | grep -q "PolicyName: *$1\$" || mc admin policy attach store "$1" --user "$1" > /dev/null
}

user shop "${S3_SHOP_SECRET_KEY:?is not set}"
user spark "${S3_SPARK_SECRET_KEY:?is not set}"
user reader "${S3_READER_SECRET_KEY:?is not set}"
echo "the users of the S3 store are in place"
