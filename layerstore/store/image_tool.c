#include "layerstore/store/image_tool.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "layerstore/store/image_manifest.h"

#define SAID_MAX     65536
#define NOT_FOUND_RC 127

struct run {
	const struct image_tool *tool;
	int in, out, said; /* files in memory: a pipe would have to be read meanwhile */
};

static _Noreturn void be_tool(const struct run *r, pid_t parent)
{
	unsetenv("DOCKER_TOKEN");
	if (job_unblock(parent) < 0 || dup2(r->in, 0) < 0 || dup2(r->out, 1) < 0 || dup2(r->said, 2) < 0)
		_exit(1);
	if (r->tool->cwd >= 0 && fchdir(r->tool->cwd) < 0)
		_exit(1);
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execvp(r->tool->argv[0], (char *const *)(uintptr_t)r->tool->argv);
	_exit(errno == ENOENT ? NOT_FOUND_RC : 1);
}

/* The last line of what it said; of a line in the form of skopeo's log, its message. In place. */
static const char *last_words(struct text *said)
{
	char *line, *msg, *to;

	if (said->len == 0)
		return "it said nothing";
	text_trim(said->p);
	line = strrchr(said->p, '\n');
	line = line ? line + 1 : said->p;
	msg = strstr(line, "msg=\"");
	if (!msg)
		return text_trim(line);
	line = to = msg + strlen("msg=\"");
	for (const char *p = line; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		*to++ = *p;
	}
	*to = 0;
	return line;
}

static int tool_failed(const struct run *r, const char *words, struct err *err)
{
	static const char *const not_there[] = { "manifest unknown", "name unknown", "MANIFEST_UNKNOWN", "NAME_UNKNOWN",
						 "error: 404" };
	const char *name = r->tool->argv[0];

	for (size_t i = 0; i < ARRAY_LEN(not_there); i++)
		if (strstr(words, not_there[i]))
			return err_set(err, ERR_DockerImageNotFound, "%s: %s", name, words);
	return err_set(err, ERR_Docker, "%s: %s", name, words);
}

static int run_it(struct job *j, const struct run *run, int *status, struct err *err)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		be_tool(run, parent);
	if (pid < 0)
		return err_sys(err, errno, "no process for %s", run->tool->argv[0]);
	return job_wait(j, pid, run->tool->tick, status, err);
}

int image_tool_run(struct job *j, const struct image_tool *t, struct text *out, struct err *err)
{
	autoclose int out_fd = memfd_create("stdout", MFD_CLOEXEC), said_fd = memfd_create("stderr", MFD_CLOEXEC);
	autoclose int in_fd = memfd_create("stdin", MFD_CLOEXEC); /* "" if there is none */
	struct run run = { .tool = t, .in = in_fd, .out = out_fd, .said = said_fd };
	autotext struct text said = {};
	int status, r;

	if (in_fd < 0 || out_fd < 0 || said_fd < 0)
		return err_sys(err, errno, "%s", t->argv[0]);
	r = t->input ? fd_write_all(in_fd, text_str(t->input), t->input->len) : 0;
	if (r < 0 || lseek(in_fd, 0, SEEK_SET) < 0)
		return err_sys(err, r < 0 ? -r : errno, "%s", t->argv[0]);
	r = run_it(j, &run, &status, err);
	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND_RC)
		return err_set(err, ERR_NotSupported,
			       "there is no %s here: images are fetched by it (the Debian package %s)", t->argv[0],
			       t->argv[0]);
	lseek(said_fd, 0, SEEK_SET);
	lseek(out_fd, 0, SEEK_SET);
	if (status != 0) {
		(void)fd_read_all(said_fd, SAID_MAX, &said);
		return tool_failed(&run, last_words(&said), err);
	}
	r = fd_read_all(out_fd, IMAGE_JSON_MAX, out);
	return r < 0 ? err_sys(err, -r, "the answer of %s", t->argv[0]) : 0;
}
