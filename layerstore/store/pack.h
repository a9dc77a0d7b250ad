/* layerstore/store/pack.h: a tree becomes an archive. Runs in a cage, whose root is the tree. */
#ifndef LAYERSTORE_STORE_PACK_H
#define LAYERSTORE_STORE_PACK_H

#include "layerstore/store/codec.h"
#include "layerstore/store/job.h"

struct pack {
	const struct cage *cage;
	int fd; /* the archive; the job's ring instead, if it has one and `filtered` isn't set */
	enum codec_id codec;
	bool oci;      /* whiteouts as OCI images have them */
	bool filtered; /* to a filter */
	bool sum;      /* leave the md5 sum in job_shared */
};

/* For job_run: arg is a struct pack. */
int pack_run(struct job *j, void *arg, struct err *err);

#endif
