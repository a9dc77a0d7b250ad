#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "engine/init/init.h"

#define OPS_FIRST (16u << 10) /* room at first; a list is rarely longer */

const struct init_op init_ops[] = {
	{ "ambient",  1, op_ambient },
	{ "arg",      1, op_arg },
	{ "attach",   3, op_attach },
	{ "become",   0, op_become },
	{ "bind",     3, op_bind },
	{ "bound",    1, op_bound },
	{ "cgroupfs", 2, op_cgroupfs },
	{ "cgroupns", 0, op_cgroupns },
	{ "command",  1, op_command },
	{ "coredump_filter", 1, op_coredump_filter },
	{ "cwd",      1, op_cwd },
	{ "dev",      0, op_dev },
	{ "device",   5, op_device },
	{ "done",     0, op_done },
	{ "enter",    1, op_enter },
	{ "env",      1, op_env },
	{ "exec",     0, op_exec },
	{ "fork",     0, op_fork },
	{ "gid",      1, op_gid },
	{ "groups",   1, op_groups },
	{ "hostname", 1, op_hostname },
	{ "ioprio",   2, op_ioprio },
	{ "lo",       0, op_lo },
	{ "newnet",   0, op_newnet },
	{ "no_console", 0, op_no_console },
	{ "only",     1, op_only },
	{ "oom_adj",  1, op_oom_adj },
	{ "keyring",  0, op_keyring },
	{ "loginuid", 0, op_loginuid },
	{ "no_new_privs", 0, op_no_new_privs },
	{ "open",     3, op_open },
	{ "pivot",    0, op_pivot },
	{ "porto",    3, op_porto },
	{ "premount", 0, op_premount },
	{ "proc",     0, op_proc },
	{ "readonly", 0, op_readonly },
	{ "reporto",  2, op_reporto },
	{ "rlimit",   4, op_rlimit },
	{ "plain",    1, op_plain },
	{ "root",     1, op_root },
	{ "run",      1, op_run },
	{ "runtimes", 0, op_runtimes },
	{ "sched",    2, op_sched },
	{ "seccomp",  1, op_seccomp },
	{ "session",  0, op_session },
	{ "setns",    2, op_setns },
	{ "slave",    0, op_slave },
	{ "stream",   2, op_stream },
	{ "suid",     0, op_suid },
	{ "symlink",  2, op_symlink },
	{ "sys",      0, op_sys },
	{ "sysctl",   2, op_sysctl },
	{ "tasks",    1, op_tasks },
	{ "uid",      1, op_uid },
	{ "umask",    1, op_umask },
	{ "unshare",  0, op_unshare },
	{ "userns",   3, op_userns },
	{ NULL,       0, NULL },
};

static void text_add(struct init *in, const char *word)
{
	size_t have = strlen(in->text);
	size_t len = MIN(strlen(word), sizeof(in->text) - 1 - have);

	memcpy(in->text + have, word, len);
	in->text[have + len] = '\0';
}

int init_fail(struct init *in, enum err_kind kind, int no, ...)
{
	const char *word;
	va_list ap;

	in->kind = kind;
	in->no = no;
	in->text[0] = '\0';
	if (in->op) {
		text_add(in, in->op->name);
		text_add(in, ": ");
	}
	va_start(ap, no);
	while ((word = va_arg(ap, const char *)))
		text_add(in, word);
	va_end(ap);
	return -1;
}

static enum err_kind kind_of(int no)
{
	switch (no) {
	case EACCES:
	case EPERM:
		return ERR_Permission;
	case EAGAIN:
	case ENOMEM:
		return ERR_ResourceNotAvailable;
	case ENOSPC:
	case EDQUOT:
		return ERR_NoSpace;
	default:
		return ERR_Unknown;
	}
}

int init_fail_sys(struct init *in, int no, const char *what)
{
	return init_fail(in, kind_of(no), no, what, NULL);
}

int init_fail_path(struct init *in, int no, const char *what, const char *path)
{
	static const int user_fault[] = { EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EROFS,
					  EXDEV };
	enum err_kind kind = kind_of(no);

	for (size_t i = 0; i < ARRAY_LEN(user_fault); i++) {
		if (user_fault[i] == no)
			kind = ERR_InvalidValue;
	}
	return init_fail(in, kind, no, what, path, NULL);
}

int init_fail_list(struct init *in, const char *what, const char *word)
{
	return init_fail(in, ERR_Unknown, EPROTO, what, word, NULL);
}

int init_number(struct init *in, const char *word, int base, unsigned long max, unsigned long *ret)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(word, &end, base);
	if (end == word || *end || *word == '-' || errno || value > max)
		return init_fail_list(in, "not a number for this: ", word);
	*ret = value;
	return 0;
}

/*
 * The whole list, up to the end of the pipe: the engine writes it only after it has saved that we exist, so a list that
 * is empty means that the engine died before, and that nothing may be done. Writable, so that the environment and path
 * walks may use the words in place.
 */
static int ops_read(struct init *in)
{
	size_t have = 0, room = OPS_FIRST;
	char *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return init_fail_sys(in, errno, "no memory for the operations");
	for (;;) {
		ssize_t n;

		if (have == room) {
			at = mremap(at, room, room * 2, MREMAP_MAYMOVE);
			if (at == MAP_FAILED)
				return init_fail_sys(in, errno, "no memory for the operations");
			room *= 2;
		}
		n = read(INIT_OPS_FD, at + have, room - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return init_fail_sys(in, errno, "can't read the operations");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	if (have == 0)
		return init_fail(in, ERR_PortodReloaded, EAGAIN, "no operations: the daemon has gone", NULL, NULL);
	in->ops = in->next = at;
	in->end = at + have;
	in->room = room;
	if (in->end[-1])
		return init_fail_list(in, "the list doesn't end with a NUL", "");
	return 0;
}

static char *next_word(struct init *in)
{
	char *word = in->next;

	if (word == in->end)
		return NULL;
	in->next += strlen(word) + 1;
	return word;
}

static const struct init_op *op_find(const char *name)
{
	const struct init_op *op = init_ops;

	while (op->name && strcmp(op->name, name))
		op++;
	return op->name ? op : NULL;
}

static int ops_run(struct init *in)
{
	char *arg[INIT_ARGS_MAX], *word;

	while ((word = next_word(in))) {
		in->op = NULL;
		const struct init_op *op = op_find(word);
		if (!op)
			return init_fail_list(in, "unknown operation: ", word);
		in->op = op;
		for (int i = 0; i < op->nargs; i++) {
			arg[i] = next_word(in);
			if (!arg[i])
				return init_fail_list(in, "the list ends before its arguments", "");
		}
		if (op->run(in, arg))
			return -1;
	}
	in->op = NULL;
	if (in->role != INIT_ALONE)
		return init_fail_list(in, "the list ends without exec", "");
	if (in->new_root)
		return init_fail_list(in, "the list ends without pivot", "");
	return 0;
}

/* Descriptors we open must not land on 0-2, where the streams of the command go. */
static void standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR);
	}
}

int main(int argc, char **argv)
{
	static struct init in = { .sync_fd = -1, .root_fd = -1, .userns_fd = -1 };

	signals_ignore();
	standard_fds();
	if (argc == 2 && !strcmp(argv[1], "seed")) {
		seed_wait();
		memset(argv[1], 0, strlen(argv[1])); /* as `ps` shows it */
	}
	prctl(PR_SET_NAME, "porto-init");
	umask(022);

	if (!ops_read(&in) && !ops_run(&in))
		stay_alone(&in);

	status_failed(in.kind, in.no, in.text);
	/* After fork the parent has the last word: it reaps us before it lets the engine know. */
	if (in.sync_fd >= 0)
		(void)!write(in.sync_fd, "f", 1);
	_exit(EXIT_FAILURE);
}
