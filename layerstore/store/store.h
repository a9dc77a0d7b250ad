/*
 * layerstore/store/store.h: the commands of porto-store, each in a file of its name. They run in the job process
 * (job.h), which alone knows the place: a directory PLACE/porto_layers or the like on descriptor 4, in which a
 * half-made tree is called _import_NAME, locked with flock(2) as long as somebody works on it, and a doomed one
 * _remove_NAME.
 */
#ifndef LAYERSTORE_STORE_STORE_H
#define LAYERSTORE_STORE_STORE_H

#include <limits.h>

#include "layerstore/store/codec.h"
#include "layerstore/store/job.h"

struct options {
	const char *command, *name;
	bool merge, storage, oci;
	bool merged; /* of a copy: from is an overlay */
	bool format_known;
	enum codec_id codec;
	char comp[16]; /* of squashfs; "": its usual one */
	int ring;      /* first descriptor; negative: none */
	int go;        /* likewise */
};

int store_import(struct job *j, const struct options *o, struct err *err);
int store_export(struct job *j, const struct options *o, struct err *err);
int store_export_dir(struct job *j, const struct options *o, struct err *err);
int store_remove(struct job *j, const struct options *o, struct err *err);
int store_copy(struct job *j, const struct options *o, struct err *err);

/* What several of them need. */

#define IMPORT_PREFIX "_import_"
#define REMOVE_PREFIX "_remove_"
#define TMP_PREFIX    "_tmp_"

/*
 * A job that builds the tree on `into` from that on `from`: a layer, whose whiteouts are applied; as it is seen through an overlay,
 * which has none; or, on one filesystem, by hard links.
 */
enum copy_how { COPY_LAYER, COPY_MERGED, COPY_LINKS };
int copy_tree(struct job *j, int from, int into, enum copy_how how, struct err *err);
/*
 * Makes dirfd/NAME, root's, 0755, empty, and locked until the descriptor it returns is closed: nobody else works on it.
 * What somebody left there who was killed is removed first. -EBUSY: somebody works on it, or (waits) that was waited
 * for, and SIGTERM came: -EINTR.
 */
int place_claim(const struct job *j, int dirfd, const char *name, bool waits);
/* Is the descriptor's directory still what is at that name? */
bool place_is_named(int dirfd, const char *name, int fd);
/* A file without a name in the place. */
int place_tmpfile(mode_t mode, struct err *err);
/* Copies what is in a file from its offset 0 on to the other's end. */
int copy_file(int from, int to);

#endif
