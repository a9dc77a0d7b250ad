/*
 * layerstore/vol.h: inside layerstore: one volume in work, its directories, and the table of backends.
 */
#ifndef LAYERSTORE_VOL_H
#define LAYERSTORE_VOL_H

#include "layerstore/layerstore.h"
#include "layerstore/mnt.h"

/* Descriptors are -1 until somebody needs them; vol_close closes. */
struct vol {
	const struct vol_spec *spec;
	struct vol_made *made;
	const struct backend *be;
	int volumes;  /* PLACE/porto_volumes */
	int home;     /* PLACE/porto_volumes/ID */
	int storage;  /* what made->storage says */
	bool new_top; /* the top of the volume was made just now, and belongs to nobody yet */
	bool new_storage, new_image, new_upper, new_work; /* of a storage that stays, to be undone */
};

struct vol vol_begin(const struct vol_spec *spec, struct vol_made *made); /* made->backend is set */
void vol_close(struct vol *v);
#define autovol __attribute__((cleanup(vol_close)))

/* What a backend requires or refuses. */
enum vol_word {
	WORD_PATH = 1,
	WORD_STORAGE = 2,
	WORD_LAYERS = 4,
	WORD_SPACE_LIMIT = 8,
	WORD_LIMIT = 16, /* space_limit or inode_limit */
	WORD_READ_ONLY = 32,
};

enum vol_storage {
	STORAGE_NONE,
	STORAGE_DIR,
	STORAGE_ANY,   /* a directory, file, socket or device: opened with O_PATH */
	STORAGE_IMAGE, /* a directory, or an image */
};

/* Instead of a mount: the volume is the directory at its path. */
#define VOL_NO_MOUNT INT_MAX

/*
 * Functions may be NULL: then there is nothing to do, but tune and recount answer NotSupported. None undoes what it did
 * when it fails: vol_destroy does, and finds by itself what there is.
 */
struct backend {
	const char *name;
	unsigned needs, refuses;
	const char *missing; /* why it is refused altogether */
	enum vol_storage storage;
	bool quota;      /* limits are a project quota, where there is one */
	bool recount_ok; /* vcheck has nothing to do */
	bool copies_layers;
	int (*prepare)(struct vol *v, struct err *err); /* made->storage is set; changes nothing */
	int (*mount)(struct vol *v, struct err *err);   /* a detached mount or VOL_NO_MOUNT */
	int (*tune)(struct vol *v, const struct vol_limits *to, struct err *err);
};

extern const struct backend backend_dir, backend_plain, backend_bind, backend_rbind, backend_tmpfs, backend_hugetmpfs,
	backend_quota, backend_native, backend_overlay, backend_squash, backend_loop;

const struct backend *backend_find(const char *name); /* NULL: unknown */
int backend_detect(const struct vol_spec *spec, const struct backend **ret, struct err *err);
/* Fills made->dev, device and quota from where the storage is, or will be. */
int backend_ground(struct vol *v, struct err *err);
bool overlay_supported(void);

bool has_limit(const struct vol_spec *spec);
bool has_layers(const struct vol_spec *spec);
bool is_temporary(const struct vol *v); /* the storage goes with the volume */

/* ---- dirs.c ---- */

/* Opens an absolute path that has no symbolic link in it. */
int path_open(const char *path, int flags);
int fd_reopen(int fd, int flags);
/* Opens the directory that holds path; *name is its last component, within path. */
int path_open_parent(const char *path, const char **name);

/* Makes (mode whatever the umask, owner root) and opens a directory; *made says whether it is new. */
int dir_make(int dirfd, const char *name, mode_t mode, bool *made);

int home_open(struct vol *v); /* 0, or -ENOENT */
int home_make(struct vol *v, struct err *err);
int home_sub(struct vol *v, const char *name, struct err *err); /* a directory in it, 0700, opened */
int home_remove(struct vol *v, struct err *err);                /* emptied at once, or renamed for the sweeper */

/* Opened if it is there. */
int storage_find(struct vol *v);
int storage_open(struct vol *v, struct err *err); /* made if it is ours; into v->storage */
/* The directory that the volume's user sees: the storage, or `data` of a temporary one. A descriptor. */
int storage_top(struct vol *v, struct err *err);
int top_own(const struct vol *v, int top, struct err *err); /* owner and mode, where they apply */
/* Permission if it was given by a path, and is not the asker's: to write there gives no right to its owner, mode or quota. */
int storage_check_his(const struct vol *v, int fd, struct err *err);

/* The name of the disk with that number, its partition's disk; "" if there is none. */
void device_name(uint64_t dev, char *buf, size_t size);

/* ---- copy.c ---- */

/* Copies the merged layers into the directory. */
int layers_copy(struct vol *v, int to, struct err *err);
/* Runs a program to its end with descriptors fd[i] as 3 + i; what it says goes into the sentence. */
int run_program(const char *const argv[], const int *fds, size_t n, struct err *err);

/* ---- overlay.c ---- */

/* Opens all layers, images mounted on the home's `lower`; the top one first, without duplicates. */
struct layer_fds {
	int fd[VOL_LAYERS_MAX + 2];
	size_t n;
};
int layers_open(struct vol *v, struct layer_fds *ret, struct err *err);
void layers_close(struct vol *v, struct layer_fds *l); /* and takes the images off `lower` again */
/* upper -1: read-only. Detached. */
int overlay_mount(struct vol *v, const struct layer_fds *l, int upper, int work, struct err *err);

/* Of be_overlay.c, for squash as well. */
int overlay_prepare(struct vol *v, struct err *err);
int overlay_build(struct vol *v, struct err *err);
int overlay_tune(struct vol *v, const struct vol_limits *to, struct err *err);

/* ---- image.c ---- */

#define IMAGE_NAME "loop.img"

/* An ext4 file system in the file dirfd/name, sparse, with the limits of the spec. Nothing is left of a failure. */
int image_make(struct vol *v, int dirfd, const char *name, struct err *err);
/* Permission: the image in a storage was not made by image_make, so that whoever may write there could have made up a file
 * system for the kernel to stumble on. Known by an attribute; where there are none, by a file that is root's alone. */
int image_check_ours(int fd, const char *path, struct err *err);
/* Busy: the image is on a loop device already, and one of the two would be written to. Waits a moment for one that
 * goes. */
int image_claim(int fd, bool read_only, struct err *err);
/* A detached mount of the file system in an image; type "": by its magic. */
int image_mount(int fd, const char *type, bool read_only, struct err *err);
/* To another size (0: as it is): while it is not mounted; larger, while it is, by an open directory in it. */
int image_resize(int image, uint64_t size, struct err *err);
int image_grow(int image, int top, uint64_t size, struct err *err);
/* Of project quota; begun if there was none. */
int quota_tune(struct vol *v, const struct vol_limits *to, struct err *err);
int image_tune(struct vol *v, const struct vol_limits *to, struct err *err);

#endif
