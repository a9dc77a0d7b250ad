/* layerstore/store/unpack.h: an archive becomes a tree. */
#ifndef LAYERSTORE_STORE_UNPACK_H
#define LAYERSTORE_STORE_UNPACK_H

#include "layerstore/store/codec.h"
#include "layerstore/store/job.h"

struct unpack {
	int fd;       /* the archive; the job's ring instead, if it has one */
	bool is_part; /* of the file this range */
	uint64_t offset, size;
	bool whiteouts; /* AUFS's and OCI's become overlayfs's */
	bool sum;       /* reads it to its very end, and leaves the sums in job_shared */
	bool format_known;
	enum codec_id codec;
	bool filtered;           /* it is tar out of a filter, of which everything has to be read */
	const struct cage *cage; /* unpack_into's own */
};

/* A job unpacks it into the directory, in a cage. alone: job.h. Neither syncs, nor removes what was made. */
int unpack_into(struct job *j, int dirfd, const struct unpack *u, bool alone, struct err *err);

#endif
