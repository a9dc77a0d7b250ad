#include "engine/seccomp.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "engine/caps.h"
#include "engine/hooks.h"

#define KEPT 8

/*
 * What an ordinary program has no use for, and what reaches the kernel's oldest or newest corners: keys (they have no
 * namespace), BPF, perf, modules, another kernel, files by handle, page faults handed out, io_uring, ports, swap, accounting,
 * quotas, the clock, what was given up; input put into somebody's terminal. Mounts and namespaces stay: they take a user
 * namespace, which containers may make.
 */
const char seccomp_default_profile[] =
	"default allow; errno _sysctl acct add_key adjtimex bpf clock_adjtime clock_adjtime64 clock_settime clock_settime64 create_module "
	"delete_module finit_module fanotify_init get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup ioperm "
	"iopl ioctl(1&0xffffffff==0x5412) ioctl(1&0xffffffff==0x541c) kcmp kexec_file_load kexec_load keyctl lookup_dcookie nfsservctl "
	"open_by_handle_at perf_event_open query_module quotactl quotactl_fd reboot request_key settimeofday stime swapoff swapon "
	"sysfs syslog userfaultfd uselib ustat vm86 vm86old";

static struct kept {
	char *text; /* owned */
	uint64_t caps;
	int fd;
} kept[KEPT];
static unsigned kept_next;

/* Other words of the same machine: a call must not be had by another number. */
static int add_arches(scmp_filter_ctx ctx)
{
	static const uint32_t arches[] = {
#if defined(__x86_64__)
		SCMP_ARCH_X86, SCMP_ARCH_X32,
#elif defined(__aarch64__)
		SCMP_ARCH_ARM,
#endif
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(arches); i++) {
		r = seccomp_arch_add(ctx, arches[i]);
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

static int add_call(scmp_filter_ctx ctx, uint32_t action, const char *word)
{
	struct scmp_arg_cmp args[SECCOMP_CONDITIONS];
	struct seccomp_call call;
	int r = seccomp_call_parse(word, &call);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < call.count; i++) {
		const struct seccomp_condition *c = &call.cond[i];

		args[i] = (struct scmp_arg_cmp){ .arg = c->index, .op = (enum scmp_compare)c->op,
						 .datum_a = c->op == SCMP_CMP_MASKED_EQ ? c->mask : c->value, .datum_b = c->value };
	}
	r = seccomp_rule_add_array(ctx, action, call.number, call.count, args);
	/* the default's own action, the same again, or a call that no machine of ours has */
	return r == -EACCES || r == -EEXIST || r == -EDOM ? 0 : r;
}

/* Is it for a container with these capabilities? Moves on to the action. */
static bool conditions_hold(char **rest, uint64_t caps, char **word)
{
	bool hold = true;

	while ((*word = strsep(rest, " ")) != NULL && (**word == '+' || **word == '-')) {
		uint64_t mask = 0;

		(void)caps_parse(*word + 1, &mask);
		hold = hold && ((caps & mask) == mask) == (**word == '+');
	}
	return hold;
}

static int add_item(scmp_filter_ctx ctx, const char *item, uint64_t caps)
{
	autofree char *copy = strdup(item);
	char *rest = copy, *word;
	uint32_t action;
	int r;

	if (copy == NULL)
		return -ENOMEM;
	if (!conditions_hold(&rest, caps, &word))
		return 0;
	r = word != NULL ? seccomp_action_parse(word, &action) : -EINVAL;
	while (r == 0 && (word = strsep(&rest, " ")))
		if (*word)
			r = add_call(ctx, action, word);
	return r;
}

static int compile(const char *text, uint64_t caps, int fd)
{
	autostrv struct strv items = {};
	uint32_t fallback = SCMP_ACT_ALLOW;
	int r = strv_split(text, ';', &items);
	size_t first = 0;

	if (r == 0 && items.n > 0 && strncmp(items.p[0], "default ", 8) == 0) {
		r = seccomp_action_parse(items.p[0] + 8, &fallback);
		first = 1;
	}
	if (r < 0)
		return r;
	scmp_filter_ctx ctx = seccomp_init(fallback);
	if (ctx == NULL)
		return -ENOMEM;
	r = add_arches(ctx);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	for (size_t i = first; r == 0 && i < items.n; i++)
		r = add_item(ctx, items.p[i], caps);
	/* the filters of containers above come after this one, and to forbid oneself more is nobody's harm */
	if (r == 0 && fallback != SCMP_ACT_ALLOW)
		(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 1, SCMP_A0(SCMP_CMP_EQ, 1, 0));
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	return r;
}

int seccomp_program(const char *text, uint64_t caps, struct err *err)
{
	const char *profile = strcmp(text, "default") == 0 ? seccomp_default_profile : text;
	struct kept *k;
	char *copy;
	int r;

	for (k = kept; k < kept + KEPT; k++)
		if (k->text != NULL && k->caps == caps && strcmp(k->text, profile) == 0)
			return k->fd;
	autoclose int fd = memfd_create("porto-seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(err, errno, "seccomp");
	r = compile(profile, caps, fd);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r < 0)
		return err_set_no(err, ERR_InvalidValue, -r, "seccomp: the profile does not become a program: %s", strerror(-r));
	copy = strdup(profile);
	if (copy == NULL)
		return err_sys(err, ENOMEM, "seccomp");
	k = &kept[kept_next++ % KEPT];
	if (k->text != NULL) {
		close(k->fd);
		free(k->text);
	}
	*k = (struct kept){ copy, caps, TAKE_FD(fd) };
	return k->fd;
}

/* What was set for it; "": nothing. */
static const char *own_profile(const struct ct *ct)
{
	const char *own = ct->val[PROP_seccomp].s;

	return own != NULL ? own : "";
}

/* Has it the default filter, whatever else it has? Whom root does not own can't get rid of it; only root can say `none` for them. */
static bool has_default(const struct ct *ct)
{
	return ct->owner_uid != 0 && strcmp(own_profile(ct), "none") != 0;
}

const char *lacks_seccomp(const struct cgroups *g)
{
	(void)g;
	return access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0 ? NULL : "the kernel has no filters of system calls (CONFIG_SECCOMP_FILTER)";
}

static int add_profile(const char *texts[SECCOMP_CHAIN_MAX + 1], int n, const char *text)
{
	if (text[0] == '\0' || strcmp(text, "none") == 0 || n > SECCOMP_CHAIN_MAX)
		return n;
	for (int i = 0; i < n; i++)
		if (strcmp(texts[i], text) == 0)
			return n;
	texts[n] = text;
	return n + 1;
}

int seccomp_profiles(const struct ct *ct, const char *texts[SECCOMP_CHAIN_MAX + 1])
{
	int n = 0;

	if (lacks_seccomp(NULL) != NULL) /* nothing was asked for either */
		return 0;
	for (; ct != NULL && ct->parent != NULL; ct = ct->parent) {
		n = add_profile(texts, n, own_profile(ct));
		if (has_default(ct))
			n = add_profile(texts, n, "default");
	}
	return n;
}

/* What was set, or stands for it: as it is written. [all]: a line for each filter that holds, those of containers above too. */
int read_seccomp(struct ct *ct, const char *key, struct text *out, struct err *err)
{
	const char *texts[SECCOMP_CHAIN_MAX + 1], *own = own_profile(ct);
	int n;

	if (key == NULL) {
		text_add(out, own[0] != '\0' ? own : has_default(ct) ? "default" : "none");
		return text_ok(out);
	}
	if (strcmp(key, "all") != 0)
		return err_set(err, ERR_InvalidProperty, "seccomp[%.100s]: no such index, expected all", key);
	n = seccomp_profiles(ct, texts);
	for (int i = 0; i < n; i++)
		text_addf(out, "%s%s", i > 0 ? "\n" : "", texts[i]);
	if (n == 0)
		text_add(out, "none");
	return text_ok(out);
}

int check_seccomp(struct change *c)
{
	const char *text = c->value->s;

	if (text == NULL || text[0] == '\0')
		return 0;
	if (strcmp(text, "none") == 0 && c->who->uid != 0 && strcmp(own_profile(c->ct), "none") != 0)
		return err_set(c->err, ERR_Permission,
			       "seccomp: none: only root takes the default filter away, it protects the host's kernel; a profile adds to it");
	if (strcmp(text, "none") == 0)
		return 0;
	return seccomp_program(text, caps_allowed(c->ct), c->err) < 0 ? -c->err->no : 0;
}
