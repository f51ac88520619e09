// Package kafkarows moves rows into and out of Kafka many at a time: input and output `kafka_rows`, and
// processor `split_rows` for who wants them one by one.
//
// A Benthos message costs more than a row does, so rows travel as blocks (record.Block). Everything
// else is as in Connect's own Kafka components, whose messages of one row it takes too.
package kafkarows
