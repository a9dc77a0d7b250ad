#include "layerstore/store/acl.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>

/* linux/posix_acl_xattr.h, which is for the kernel's own types */
#define ACL_VERSION 2
#define ACL_MAX     1024 /* more than any filesystem takes */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl_value {
	uint32_t version;
	struct acl_entry e[ACL_MAX];
};

static const char access_name[] = "system.posix_acl_access", default_name[] = "system.posix_acl_default";

/* In the order in which the kernel wants them. */
static const struct {
	uint16_t tag;
	int archive;
	bool named;
} tags[] = {
	{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ,  false},
	{0x02, ARCHIVE_ENTRY_ACL_USER,      true},
	{0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ, false},
	{0x08, ARCHIVE_ENTRY_ACL_GROUP,     true},
	{0x10, ARCHIVE_ENTRY_ACL_MASK,      false},
	{0x20, ARCHIVE_ENTRY_ACL_OTHER,     false},
};

static int compare(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;
	if (x->tag != y->tag)
		return le16toh(x->tag) < le16toh(y->tag) ? -1 : 1;
	return (le32toh(x->id) > le32toh(y->id)) - (le32toh(x->id) < le32toh(y->id));
}

static size_t collect(struct archive_entry *e, int type, struct acl_value *v)
{
	int t, permset, tag, id;
	const char *name;
	size_t n = 0;
	if (archive_entry_acl_reset(e, type) == 0)
		return 0;
	while (n < ACL_MAX && archive_entry_acl_next(e, type, &t, &permset, &tag, &id, &name) == ARCHIVE_OK) {
		for (size_t i = 0; i < ARRAY_LEN(tags); i++)
			if (tags[i].archive == tag)
				v->e[n++] = (struct acl_entry){htole16(tags[i].tag), htole16((uint16_t)(permset & 7)),
							       htole32(tags[i].named ? (uint32_t)id : UINT32_MAX)};
	}
	qsort(v->e, n, sizeof(v->e[0]), compare);
	v->version = htole32(ACL_VERSION);
	return n;
}

int acl_to_xattrs(struct archive_entry *e, struct xattrs *x)
{
	static const struct {
		int type;
		const char *name;
	} kinds[] = {{ARCHIVE_ENTRY_ACL_TYPE_ACCESS, access_name}, {ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, default_name}};
	struct acl_value v;
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds) && r == 0; i++) {
		size_t n = collect(e, kinds[i].type, &v);
		/* three are no more than the mode says */
		if (n > 3 || (n > 0 && kinds[i].type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT))
			r = xattrs_add(x, kinds[i].name, &v, offsetof(struct acl_value, e) + n * sizeof(v.e[0]));
	}
	return r;
}

int acl_from_xattr(const struct xattr *one, struct archive_entry *e)
{
	int type = strcmp(one->name, access_name) == 0	? ARCHIVE_ENTRY_ACL_TYPE_ACCESS :
		   strcmp(one->name, default_name) == 0 ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT :
							  0;
	size_t head = offsetof(struct acl_value, e);
	struct acl_entry a;
	uint32_t version;
	if (!type || one->len < head || (one->len - head) % sizeof(a) != 0)
		return 0;
	memcpy(&version, one->value, sizeof(version));
	if (le32toh(version) != ACL_VERSION)
		return 0;
	for (size_t at = head; at < one->len; at += sizeof(a)) {
		memcpy(&a, (const char *)one->value + at, sizeof(a));
		for (size_t i = 0; i < ARRAY_LEN(tags); i++)
			if (tags[i].tag == le16toh(a.tag))
				archive_entry_acl_add_entry(e, type, le16toh(a.perm) & 7, tags[i].archive,
							    tags[i].named ? (int)le32toh(a.id) : -1, "");
	}
	return 1;
}
