/* layerstore/store/acl.h: POSIX ACLs between libarchive's entries and the kernel's attribute; users and groups by
 * number alone. */
#ifndef LAYERSTORE_STORE_ACL_H
#define LAYERSTORE_STORE_ACL_H

#include "layerstore/store/node.h"

struct archive_entry;

/* Adds the attributes that the entry's ACLs are; 0 or -ENOMEM. */
int acl_to_xattrs(struct archive_entry *e, struct xattrs *x);
/* If the attribute is an ACL (and whole) adds it to the entry: 1, else 0. */
int acl_from_xattr(const struct xattr *one, struct archive_entry *e);

#endif
