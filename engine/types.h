/*
 * engine/types.h: property types. A type says how text becomes a value and back; a row of props.def names one.
 * Laws, tested for every type: parse(format(v)) equals v; parse touches nothing but *ret, and *ret only on success.
 * Pure: no files, no clock; what depends on the host (number of processors) comes in through types_host_cores.
 */
#ifndef ENGINE_TYPES_H
#define ENGINE_TYPES_H

#include "base/cpus.h"
#include "base/defs.h"
#include "base/err.h"
#include "base/text.h"

/* Two lists of equal length, sorted by key (bytewise). */
struct pairs {
	struct strv k, v;
};

union value {
	bool b;
	uint64_t u;
	int64_t i;
	double d;
	char *s;         /* owned; NULL is "" */
	struct strv v;   /* owned */
	struct pairs m;  /* owned */
};

struct prop_type {
	const char *name;     /* "cores" */
	const char *expected; /* for sentences: "cores like 1.5c, a percentage of the host, or 500000000ns" */
	/* text is trimmed, NUL-terminated. -EINVAL, -ERANGE, -ENOMEM. */
	int (*parse)(const char *text, union value *ret);
	/* For sentences, NULL where it is not worth it: the first word of a text, or key, for which it was refused; if there is none, nothing. */
	void (*wrong)(const char *text, struct text *out);
	void (*format)(const union value *v, struct text *out);
	bool (*equal)(const union value *a, const union value *b);
	void (*release)(union value *v);                     /* NULL: nothing owned */
	int (*copy)(const union value *v, union value *ret); /* NULL: plain assignment */
	/* prop[key]: NULL where the type has no index. -ENODATA: not set (the caller knows the kind of that). */
	int (*get_key)(const union value *v, const char *key, struct text *out);
	int (*set_key)(const union value *old, const char *key, const char *text, union value *ret);
	/* `>>`: old with text's entries added (a map's replace those of the same key). NULL: -EINVAL. */
	int (*append)(const union value *old, const char *text, union value *ret);
};

/* A path in brackets is part of a file's name, which has no slash: there ! stands for it. Owned; NULL: no memory */
char *types_key_path(const char *key);

extern unsigned types_host_cores; /* configured processors; set once at start */

/*
 * spec/PROPERTIES.md 2.1, in the order of the table there. All zero-initialised values are the type's empty value
 * (only a weight of 0 is none at all: its rows name a default).
 *   bool uint int bytes cores time (ns, shown "1000000000ns") weight octal hex
 *   text      any text without NUL
 *   path      empty, or no NUL and under 4096 bytes
 *   list      `;` list, order kept: a;b
 *   argv      tab separated words, exact, [N]: get and set by number, growing with "" (3.1). A backslash escapes a tab
 *             and itself; at the very end or before a newline it is nothing, and guards what trimming would take
 *   env       `;` list of NAME=value or NAME (unset), [NAME]; of entries with one NAME the last counts; not empty
 *   strmap    string map "key: text; key: text", sorted, [key]; of equal keys the last counts; empty text removes
 *   links     a strmap of paths; in [!a!b] ! stands for the slash
 *   bytemap   map "key: size; ...", sorted, [key]
 *   ratemap   a bytemap; a bare number is that of the key default
 *   iolimit   "key: size; key r: size; ...", sorted, [key]; a bare number is that of key fs. The key has no blank or control
 *             character; after it r or w for one direction; the same key twice is -EINVAL, 0 (and "" by index) removes
 *   io_policy "" none rt high normal batch idle; u is enum io_policy
 *   access    false (none) read-isolate read-only isolate self-isolate child-only true (full); u is enum access
 *   controllers `;` list of cgroup controllers, u is their CG_BITs
 *   ulimit    "type: soft hard; " each entry ends in "; " (3.2); one value sets both; [type] reads "type: soft hard" or
 *             "", takes both forms, "" removes; an unknown type, a type twice in one text, soft above hard: -EINVAL. Kept in m: k type,
 *             v "soft hard" with "unlimited" for infinity
 *   labels    strmap of labels: names and values checked as in 11 (-EINVAL)
 *   virt_mode app os job host docker; fuse is accepted and kept as app; u is enum virt_mode
 *   opt_uint  a number or nothing: empty or negative unsets, shown as ""; u is the number + 1, 0 when unset
 *   cpu_policy normal high rt batch idle; nosmt and iso parse too, to be refused with a reason; u is enum cpu_policy
 *   net_class CS0 to CS7; u is the number
 *   caps      `;` list of capabilities with or without CAP_, shown without, in order of number; [A;B] true if all are there. u is the mask
 *   devices   "/dev/x access [/dev/path] [mode] [user] [group]; " or "preset name; " (5.2), access in the order rwm-?*; of entries of
 *             one device the last counts; [/dev/x] (! for /) the rest of the entry, "" removes it. In v, without looking at the host
 *   seccomp   "", none, default, a profile as engine/seccomp.h has it, or one in Docker's JSON form, which becomes such a one; s is its text
 *   cpu_set   a list, `node N`, `jail N` or both (8.2); all, inherit and nothing are ""; s is the normalised text
 */
extern const struct prop_type type_bool, type_uint, type_int, type_bytes, type_cores, type_time, type_weight,
	type_octal, type_hex, type_text, type_path, type_list, type_argv, type_env, type_strmap, type_links, type_bytemap,
	type_ratemap, type_iolimit, type_ulimit, type_labels, type_virt_mode, type_io_policy, type_controllers, type_opt_uint;
extern const struct prop_type type_cpu_policy, type_cpu_set, type_net_class, type_access, type_caps, type_devices, type_seccomp;

/* All of the above, NULL at the end: for tests, which walk it. */
extern const struct prop_type *const types_all[];

enum virt_mode { VIRT_APP, VIRT_OS, VIRT_JOB, VIRT_HOST, VIRT_DOCKER, VIRT_MODES };
extern const char *const virt_mode_names[VIRT_MODES];

/* enable_porto, from less to more. */
enum access { ACCESS_NONE, ACCESS_READ_ISOLATE, ACCESS_READ_ONLY, ACCESS_ISOLATE, ACCESS_SELF_ISOLATE, ACCESS_CHILD_ONLY, ACCESS_FULL, ACCESSES };
extern const char *const access_names[ACCESSES];

enum io_policy { IO_UNSET, IO_NONE, IO_RT, IO_HIGH, IO_NORMAL, IO_BATCH, IO_IDLE, IO_POLICIES };

enum cpu_policy { CPU_NORMAL, CPU_HIGH, CPU_RT, CPU_BATCH, CPU_IDLE, CPU_NOSMT, CPU_ISO, CPU_POLICIES };
extern const char *const cpu_policy_names[CPU_POLICIES];

/* What a cpu_set says; all zero: the parent's. */
struct cpu_set {
	bool has_list, has_node;
	unsigned jail; /* how many, 0: no jail */
	unsigned node;
	struct cpus list;
};
int cpu_set_parse(const char *text, struct cpu_set *ret); /* -EINVAL, -ERANGE, -ENOMEM */
void cpu_set_format(const struct cpu_set *set, struct text *out);

/* Names of capabilities -> a mask of 1 << number, and back (NULL: nobody knows it). -EINVAL, -ENOMEM */
int caps_parse(const char *text, uint64_t *ret);
const char *caps_name(unsigned cap);

/* The parts of a type whose value is its text, in s. */
void text_value_format(const union value *v, struct text *out);
bool text_value_equal(const union value *a, const union value *b);
void text_value_release(union value *v);
int text_value_copy(const union value *v, union value *ret);

/* The resource number (RLIMIT_NOFILE) of a ulimit type's name, or -EINVAL. Names: spec 3.2. */
int ulimit_resource(const char *name);
const char *ulimit_name(int resource); /* and back */
/* "8192 1048576" as kept in type_ulimit -> numbers, RLIM_INFINITY for unlimited. */
int ulimit_values(const char *text, uint64_t *soft, uint64_t *hard);
/* spec 11: 0, or -EINVAL with the reason in *why. */
int label_check(const char *name, const char *value, const char **why);

/* pairs: keep sorted, replace equal keys. 0 or -ENOMEM. */
int pairs_set(struct pairs *m, const char *key, const char *value);
void pairs_unset(struct pairs *m, const char *key);
const char *pairs_get(const struct pairs *m, const char *key); /* NULL if none */
void pairs_done(struct pairs *m);

/*
 * The one form in which several properties are written down, for `spec` files and saved records:
 *     name = value
 * a line each; in the value a backslash is \\, a newline \n, a carriage return \r, and a blank at either end "\ ".
 * Lines that are empty or start with # are skipped; blanks around the name and the "=" do not matter.
 */
void spec_line_format(struct text *out, const char *name, const char *value);
/*
 * Calls fn for each line with the unescaped value; *line is the number, from 1, of the last line looked at. A NUL byte,
 * a line without "=" or a bad escape: -EINVAL. fn's failure ends the reading and is returned.
 */
int spec_parse(const char *text, size_t len,
	       int (*fn)(void *arg, const char *name, const char *value, size_t line), void *arg, size_t *line);

#endif
