/*
 * layerstore/store/sum.h: checksums as hexadecimal digits, by nettle, which uses the processor's instructions for
 * sha256 where there are any; and one that is worked out by a thread beside whoever uses the bytes.
 */
#ifndef LAYERSTORE_STORE_SUM_H
#define LAYERSTORE_STORE_SUM_H

#include <nettle/sha2.h>

#include "base/defs.h"

#define SHA256_HEX 64

/* What is known of an archive that was read to its end. */
struct sums {
	char raw[SHA256_HEX + 1], plain[SHA256_HEX + 1]; /* sha256 of it, and of what it is decompressed */
	uint64_t bytes;                                  /* of it decompressed */
};

void sum_digits(const uint8_t *sum, size_t len, char *ret); /* 2 * len + 1 bytes */
/* Ends the sum; ctx is ready for another. */
void sum_hex(struct sha256_ctx *ctx, char ret[SHA256_HEX + 1]);
void sum_of(const void *buf, size_t len, char ret[SHA256_HEX + 1]);

struct summer;

/* Starts the thread. It is there until the process ends. */
int summer_new(struct summer **ret);
/* The bytes have to stay until summer_wait, or until the next ones are fed. */
void summer_feed(struct summer *s, const void *buf, size_t len);
void summer_wait(struct summer *s);
void summer_hex(struct summer *s, char ret[SHA256_HEX + 1]);

#endif
