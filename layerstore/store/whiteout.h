/*
 * layerstore/store/whiteout.h: what a name or an attribute out of an archive means. Pure, on hostile text.
 *
 * AUFS and OCI archives hide names of the layers below by files: ".wh.X" hides X, ".wh..wh..opq" hides all that the
 * directory had; other ".wh..wh.*" are AUFS's own affairs. In overlayfs these are a character device 0:0 named X and
 * the attribute trusted.overlay.opaque.
 */
#ifndef LAYERSTORE_STORE_WHITEOUT_H
#define LAYERSTORE_STORE_WHITEOUT_H

#include "base/defs.h"
#include "base/err.h"

#define WH_PREFIX    ".wh."
#define WH_OPAQUE    ".wh..wh..opq"
#define XATTR_OVERLAY "trusted.overlay."
#define XATTR_OPAQUE XATTR_OVERLAY "opaque"

enum wh {
	WH_NOTHING, /* a file like any other */
	WH_HIDE,    /* the name behind ".wh." is hidden */
	WH_MARK,    /* its directory is opaque */
	WH_DROP,    /* nobody's business, nor is what lies below */
};

/*
 * Cleans a name in place: slashes at both ends and doubled ones, and "." components, go ("/a//./b/" is "a/b"). ".." is
 * refused, and so is an empty component's worth of anything longer than a name can be: -EINVAL with a sentence that
 * quotes the name.
 */
int name_clean(char *path, struct err *err);

/*
 * What a clean path stands for. WH_HIDE: *ret is the hidden path; WH_MARK: the directory ("" for the top), written into
 * buf of at least strlen(path) + 1 bytes. A whiteout of nothing, of "." or ".." or one with files below it: -EINVAL.
 */
int wh_parse(const char *path, char *buf, struct err *err);

enum xattr_fate {
	XATTR_KEEP,
	XATTR_MARK, /* it is overlayfs's own mark of an opaque directory */
	XATTR_DROP,
};

/*
 * Attributes an archive may bring: user.*, the ACLs, file capabilities. security.* binds the kernel to labels of
 * another host, trusted.* steers overlayfs (a redirect would show any directory of a lower layer): of these only the
 * opaque mark of a directory.
 */
enum xattr_fate xattr_judge(const char *name, const void *value, size_t len, bool is_dir);

/* Writes s with bytes a terminal or a line would choke on as \xNN, cut with "..." if too long. Returns buf. */
char *name_show(const char *s, char *buf, size_t size);

#endif
