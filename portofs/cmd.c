#include "portofs/cmd.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "portofs/mount.h"
#include "portofs/super.h"
#include "portofs/takeover.h"
#include "portofs/worker.h"

#define STOP_TIMEOUT_MSEC 60000
#define VOLUMES_MSEC 20
#define STAT_MAX 65536u
#define UPGRADE_TIMEOUT_MSEC 20000
#define MSEC_USEC 1000u
#define LOG_BYTES (8 << 20) /* of the log nobody named: longer, it begins anew at a start */
#define INHERITED_MAX 256

static int cmd_serve(struct invocation *inv)
{
	return super_main(inv->conf, inv->again, -1);
}

static int cmd_worker(struct invocation *inv)
{
	struct handover h;

	if (inv->args[0] == NULL || inv->args[1] == NULL || inv->args[2] == NULL)
		return 2;
	h = (struct handover){ .fuse = atoi(inv->args[0]), .mem = atoi(inv->args[1]), .notes = atoi(inv->args[2]) };
	return worker_main(inv->conf, &h);
}

static int cmd_resume(struct invocation *inv)
{
	return super_resume(inv->conf, inv->again, inv->args);
}

/* The daemon's words, when the configuration names no file for them. */
static int open_log(const struct config *conf)
{
	autofree char *path = path_join(conf->daemon_state_dir, "portod.log");
	struct stat st;
	int fd;

	if (conf->daemon_log_file[0] || !path)
		return -ENOENT;
	(void)mkdir(conf->daemon_state_dir, 0755);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_BYTES)
		(void)!ftruncate(fd, 0);
	return fd;
}

/* The daemon's side: away from the terminal and from whatever else its starter had open. */
static int become_daemon(struct invocation *inv, int ready)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open_log(inv->conf);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
	for (int fd = STDERR_FILENO + 1; fd < INHERITED_MAX; fd++)
		if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			close(fd);
	if (chdir("/") < 0)
		return EXIT_FAILURE;
	return super_main(inv->conf, inv->again, ready);
}

/* In a process of its own. 0, or what kept it from serving in answer. */
static int start(struct invocation *inv, char *answer, size_t size)
{
	int ready[2];
	ssize_t n = 0;
	pid_t child;

	if (pipe2(ready, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		snprintf(answer, size, "%s", strerror(errno));
		return -EAGAIN;
	}
	if (child == 0) {
		close(ready[0]);
		if (fork() != 0)
			_exit(EXIT_SUCCESS);
		_exit(become_daemon(inv, ready[1]));
	}
	close(ready[1]);
	do
		n = read(ready[0], answer, size - 1);
	while (n < 0 && errno == EINTR);
	answer[MAX(n, 0)] = 0;
	close(ready[0]);
	if (strcmp(answer, "ok") == 0)
		return 0;
	if (!answer[0])
		snprintf(answer, size, "it ended without a word");
	return -EIO;
}

static bool is_running_already(const struct config *conf)
{
	struct pid_info holder;

	if (takeover_holder(conf, &holder) <= 0)
		return false;
	printf("portod is running already (pid %d)\n", holder.pid);
	return true;
}

static int cmd_start(struct invocation *inv)
{
	char answer[1024];

	if (is_running_already(inv->conf))
		return EXIT_SUCCESS;
	if (start(inv, answer, sizeof(answer)) == 0)
		return EXIT_SUCCESS;
	/* Somebody else's start may have come first; else who holds the lock now is our own, which ends. */
	if (strncmp(answer, TAKEOVER_HELD, strlen(TAKEOVER_HELD)) == 0 && is_running_already(inv->conf))
		return EXIT_SUCCESS;
	fprintf(stderr, "portod: cannot start: %s\n", answer);
	return EXIT_FAILURE;
}

/* Every container goes, and what it leaves behind is waited for. */
static void destroy_containers(const struct config *conf)
{
	autofree char *dying = path_join(conf->daemon_mount, ".porto/destroying");
	DIR *d = opendir(conf->daemon_mount);
	char buf[64];

	if (d == NULL)
		return;
	for (const struct dirent *de; (de = readdir(d)) != NULL;)
		if (de->d_type == DT_DIR && de->d_name[0] != '.')
			(void)unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
	closedir(d);
	for (int i = 0; dying != NULL && i < STOP_TIMEOUT_MSEC && file_read_small(AT_FDCWD, dying, buf, sizeof(buf)) > 0; i++)
		usleep(MSEC_USEC);
}

/* Then the volumes, with what is theirs alone; those that containers held may be going already. How many have stayed. */
static unsigned destroy_volumes(const struct config *conf)
{
	autofree char *volumes = path_join(conf->daemon_mount, ".volumes");
	unsigned left = 0;

	for (int i = 0; volumes != NULL && i < STOP_TIMEOUT_MSEC / VOLUMES_MSEC; i++) {
		autotext struct text stat = {};
		autoclose int fd = open(volumes, O_RDONLY | O_DIRECTORY | O_CLOEXEC), root = open(conf->daemon_mount, O_PATH | O_CLOEXEC);
		DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
		const char *count;

		if (d == NULL)
			return 0;
		fd = -1;
		for (const struct dirent *de; (de = readdir(d)) != NULL;)
			if (de->d_type == DT_DIR && de->d_name[0] >= '0' && de->d_name[0] <= '9')
				(void)unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
		closedir(d);
		if (file_read(root, ".porto/stat", STAT_MAX, &stat) < 0)
			return 0;
		count = strstr(text_str(&stat), "\nvolumes ");
		left = count != NULL ? (unsigned)strtoul(count + strlen("\nvolumes "), NULL, 10) : 0;
		if (left == 0)
			break;
		usleep(VOLUMES_MSEC * MSEC_USEC);
	}
	return left;
}

/* There is no supervisor; but a worker may serve on without one, or a dead mount be left. */
static int stop_rest(const struct config *conf)
{
	struct handover h;
	autoclose int worker = -1;
	bool found = worker_find(conf, &h, &worker) > 0;

	if (found)
		takeover_end_worker(worker);
	if (tree_is_dead(conf->daemon_mount)) {
		(void)tree_unmount(conf->daemon_mount, false);
		found = true;
	}
	takeover_remove_files(conf);
	if (!found)
		printf("portod is not running\n");
	return EXIT_SUCCESS;
}

static bool ends(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, STOP_TIMEOUT_MSEC) > 0;
}

static int cmd_stop(struct invocation *inv)
{
	bool containers = inv->args[0] && strcmp(inv->args[0], "--containers") == 0;
	struct pid_info holder;
	autoclose int pidfd = -1;
	unsigned left = 0;

	if (inv->args[0] && !containers) {
		fprintf(stderr, "portod: stop: expected --containers or nothing\n");
		return 2;
	}
	if (takeover_holder(inv->conf, &holder) <= 0)
		return stop_rest(inv->conf);
	pidfd = proc_open(holder.pid, holder.start);
	if (pidfd < 0)
		return EXIT_SUCCESS;
	if (containers) {
		destroy_containers(inv->conf);
		left = destroy_volumes(inv->conf);
	}
	(void)proc_signal(pidfd, SIGTERM);
	if (!ends(pidfd)) {
		fprintf(stderr, "portod: pid %d does not end\n", holder.pid);
		return EXIT_FAILURE;
	}
	/* what is still mounted must be known to the next one */
	if (left > 0) {
		fprintf(stderr, "portod: %u volumes can't be taken down, their records stay in %s\n", left, inv->conf->daemon_state_dir);
		return EXIT_FAILURE;
	}
	if (containers) {
		(void)engine_forget(inv->conf);
		(void)rmdir(inv->conf->container_work_dir);
	}
	return EXIT_SUCCESS;
}

/* The worker's pid by its file, 0 when it is not alive. */
static int worker_pid(const struct config *conf)
{
	struct handover h;
	autoclose int fd = -1;
	int r = worker_find(conf, &h, &fd);

	return r > 0 ? r : 0;
}

static int cmd_status(struct invocation *inv)
{
	int worker = worker_pid(inv->conf);
	struct pid_info holder;
	char since[32] = "";
	struct tm tm;

	if (takeover_holder(inv->conf, &holder) <= 0) {
		printf("portod is not running%s\n", worker > 0 ? ", but a worker serves on: portod start takes over" : "");
		return EXIT_FAILURE;
	}
	if (localtime_r(&(time_t){ (time_t)holder.since }, &tm))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
	printf("portod is running: pid %d, worker %d, mounted at %s, since %s\n", holder.pid, worker,
	       inv->conf->daemon_mount, since);
	return EXIT_SUCCESS;
}

/* The supervisor would refuse a file that doesn't run, but only in its log. */
static bool is_program_there(int pid)
{
	char link[32], exe[4096];
	ssize_t n;
	char *tail;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[MAX(n, 0)] = 0;
	tail = strstr(exe, " (deleted)");
	if (tail)
		*tail = 0;
	if (access(exe, X_OK) == 0)
		return true;
	fprintf(stderr, "portod: %s: %s\n", exe, strerror(errno));
	return false;
}

static int cmd_upgrade(struct invocation *inv)
{
	autofree char *version = path_join(inv->conf->daemon_mount, ".porto/version");
	int old = worker_pid(inv->conf);
	struct pid_info holder = {};
	autoclose int pidfd = -1;
	char buf[64];

	if (takeover_holder(inv->conf, &holder) > 0)
		pidfd = proc_open(holder.pid, holder.start);
	if (pidfd < 0 || !version) {
		fprintf(stderr, "portod: not running\n");
		return EXIT_FAILURE;
	}
	if (!is_program_there(holder.pid))
		return EXIT_FAILURE;
	(void)proc_signal(pidfd, SIGHUP);
	for (int i = 0; i < UPGRADE_TIMEOUT_MSEC && !proc_is_gone(pidfd); i++) {
		int now = worker_pid(inv->conf);

		/* Answered: that worker serves. */
		if (now > 0 && now != old && file_read_small(AT_FDCWD, version, buf, sizeof(buf)) > 0)
			return EXIT_SUCCESS;
		usleep(MSEC_USEC);
	}
	fprintf(stderr, "portod: no new worker serves; its log says why\n");
	return EXIT_FAILURE;
}

static int cmd_check(struct invocation *inv)
{
	autotext struct text out = {};
	int r = engine_check(inv->conf, &out);

	fputs(text_str(&out), stdout);
	if (r == 0)
		printf("containers can run here\n");
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int cmd_config(struct invocation *inv)
{
	autotext struct text out = {};

	if (inv->args[0] != NULL && strcmp(inv->args[0], "--help") == 0)
		config_help(&out);
	else
		config_format(inv->conf, &out);
	fputs(text_str(&out), stdout);
	return EXIT_SUCCESS;
}

static int cmd_help_properties(struct invocation *inv)
{
	autotext struct text out = {};

	if (engine_help(inv->args[0] != NULL ? inv->args[0] : "tsv", &out) < 0) {
		fprintf(stderr, "portod: help-properties: expected readme, man, tsv or volumes\n");
		return 2;
	}
	fputs(text_str(&out), stdout);
	return EXIT_SUCCESS;
}

static int cmd_version(struct invocation *inv)
{
	(void)inv;
	printf("portod %s\n", PORTO_VERSION);
	return EXIT_SUCCESS;
}

static int cmd_help(struct invocation *inv)
{
	(void)inv;
	cmd_usage();
	return EXIT_SUCCESS;
}

static const struct {
	const char *name;
	int (*fn)(struct invocation *inv);
	const char *help; /* NULL: not for users */
	bool needs_root;
} commands[] = {
	{ "run", cmd_serve, "mount and serve in the foreground (the default)", true },
	{ "start", cmd_start, "the same in the background; returns when the tree answers", true },
	{ "stop", cmd_stop, "end the daemon, containers go on; with --containers they and the volumes are destroyed first", true },
	{ "status", cmd_status, "say whether it runs", false },
	{ "upgrade", cmd_upgrade, "replace daemon and worker by the binary on disk; nobody notices", true },
	{ "check", cmd_check, "say what this host lacks", false },
	{ "config", cmd_config, "print the configuration in force; --help explains every option", false },
	{ "help-properties", cmd_help_properties, "print the property table: readme, man or tsv; of volumes: volumes", false },
	{ "version", cmd_version, "print the version", false },
	{ "help", cmd_help, "print this", false },
	{ "resume", cmd_resume, NULL, false },
	{ "worker", cmd_worker, NULL, false },
};

void cmd_usage(void)
{
	printf("usage: portod [-c|--config FILE] [-s|--set SECTION.NAME=VALUE]... [COMMAND]\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].help != NULL)
			printf("  %-16s %s\n", commands[i].name, commands[i].help);
}

int cmd_run(const char *name, struct invocation *inv)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (commands[i].needs_root && geteuid() != 0) {
			fprintf(stderr, "portod: %s: must be run as root\n", name);
			return EXIT_FAILURE;
		}
		return commands[i].fn(inv);
	}
	fprintf(stderr, "portod: no such command: %s (portod help lists them)\n", name);
	return 2;
}
