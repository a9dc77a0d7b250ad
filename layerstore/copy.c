/* Programs that are run; porto-store, which copies layers. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/spawn.h"
#include "layerstore/vol.h"

#define OUTPUT_MAX 65536

/* The last line of what a program said, without its end. */
static const char *last_line(struct text *said)
{
	char *line, *s = said->p ? text_trim(said->p) : NULL;

	if (!s || !*s)
		return "no word why";
	line = strrchr(s, '\n');
	return line ? line + 1 : s;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(const char *const argv[], const int *fds, size_t n, struct err *err)
{
	struct spawn_fd all[SPAWN_FDS_MAX];
	autotext struct text said = {};
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, errno, "%s", argv[0]);
	autoclose int from = ends[0];
	all[0] = (struct spawn_fd){ ends[1], 1 };
	all[1] = (struct spawn_fd){ ends[1], 2 };
	for (size_t i = 0; i < n; i++)
		all[2 + i] = (struct spawn_fd){ fds[i], 3 + (int)i };
	r = spawn_program(argv, all, n + 2, &pid);
	close(ends[1]);
	if (r == -ENOENT)
		return err_set(err, ERR_NotSupported, "%s: no such program on this host", argv[0]);
	if (r < 0)
		return err_sys(err, -r, "%s", argv[0]);
	(void)fd_read_all(from, OUTPUT_MAX, &said);
	r = wait_for(pid);
	if (r < 0)
		return err_sys(err, -r, "%s", argv[0]);
	return r == 0 ? 0 : err_set(err, ERR_HelperError, "%s failed with %d: %s", argv[0], r, last_line(&said));
}

/* What porto-store says about how it ended: its status page (store/job.h). */
static int copy_result(int page, struct err *err)
{
	char text[ERR_TEXT_MAX + 80];
	ssize_t n = pread(page, text, sizeof(text) - 1, 0);
	int kind = 0, no = 0, end = 0;

	text[MAX(n, 0)] = 0;
	if (strncmp(text, "done ", 5) == 0)
		return 0;
	if (sscanf(text, "failed %d %d\n%n", &kind, &no, &end) != 2 || end == 0 || kind <= 0 || no <= 0 || no >= 4096)
		return err_set(err, ERR_HelperError, "layers: whoever copies them has died in the middle of it");
	text[end + (int)strcspn(text + end, "\n")] = 0;
	return err_set_no(err, (enum err_kind)kind, no, "layers: %s", text + end);
}

/* Whoever waits here may be killed: then nobody gives it the word to begin, and it ends with us later on. */
static int copy_run(const char *program, int from, int to, struct err *err)
{
	const char *const argv[] = { program, "copy", "--merged", "--go=7", NULL };
	autoclose int page = memfd_create("copy", MFD_CLOEXEC);
	int go[2], r;
	pid_t pid;

	if (page < 0 || pipe2(go, O_CLOEXEC) < 0)
		return err_sys(err, errno, "layers");
	autoclose int wait = go[0], word = go[1];
	const struct spawn_fd fds[] = { { page, 3 }, { from, 5 }, { to, 6 }, { wait, 7 } };
	r = spawn_program(argv, fds, ARRAY_LEN(fds), &pid);
	if (r < 0)
		return err_sys(err, -r, "%s", program);
	if (write(word, "", 1) != 1)
		return err_sys(err, errno, "%s", program);
	r = wait_for(pid);
	return r < 0 ? err_sys(err, -r, "%s", program) : copy_result(page, err);
}

/* By porto-store, which is confined to the two trees: what is in layers is other people's. */
int layers_copy(struct vol *v, int to, struct err *err)
{
	autofree struct layer_fds *layers = malloc(sizeof(*layers));
	autoclose int from = -1;
	int r;

	if (!layers)
		return err_sys(err, ENOMEM, "layers");
	r = layers_open(v, layers, err);
	if (r < 0)
		return r;
	/* An overlay has two directories at least: an empty one below the last. */
	layers->fd[layers->n] = home_sub(v, "lower", err);
	if (layers->fd[layers->n] < 0) {
		r = layers->fd[layers->n];
	} else {
		layers->n++;
		r = overlay_mount(v, layers, -1, -1, err);
	}
	layers_close(v, layers);
	if (r < 0)
		return r;
	from = r;
	r = copy_run(v->spec->store, from, to, err);
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set(err, ERR_NoSpace, "layers: larger than the volume");
	return r;
}
