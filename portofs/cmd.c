#include "portofs/cmd.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "portofs/super.h"
#include "portofs/worker.h"

#define STOP_TIMEOUT_MSEC 60000
#define MSEC_USEC 1000u

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

/* The daemon's side: away from the terminal, its words in a file. */
static int become_daemon(struct invocation *inv, int ready)
{
	autofree char *log = path_join(inv->conf->daemon_state_dir, "portod.log");
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd = -1;

	setsid();
	if (inv->conf->daemon_log_file[0] == '\0' && log != NULL) {
		(void)mkdir(inv->conf->daemon_state_dir, 0755);
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	}
	dup2(null, 0);
	dup2(null, 1);
	dup2(fd >= 0 ? fd : null, 2);
	if (chdir("/") < 0)
		return EXIT_FAILURE;
	return super_main(inv->conf, inv->again, ready);
}

static int cmd_start(struct invocation *inv)
{
	char answer[1024] = "";
	int ready[2], pid = super_running(inv->conf);
	ssize_t n;
	pid_t child;

	if (pid > 0) {
		printf("portod is running already (pid %d)\n", pid);
		return EXIT_SUCCESS;
	}
	if (pipe2(ready, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		perror("portod");
		return EXIT_FAILURE;
	}
	if (child == 0) {
		close(ready[0]);
		if (fork() != 0)
			_exit(EXIT_SUCCESS);
		_exit(become_daemon(inv, ready[1]));
	}
	close(ready[1]);
	n = read(ready[0], answer, sizeof(answer) - 1);
	answer[n > 0 ? n : 0] = '\0';
	if (strcmp(answer, "ok") == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "portod: cannot start: %s\n", answer[0] != '\0' ? answer : "it ended without a word");
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

static int cmd_stop(struct invocation *inv)
{
	bool containers = inv->args[0] != NULL && strcmp(inv->args[0], "--containers") == 0;
	int pid = super_running(inv->conf);
	autoclose int fd = -1;

	if (pid <= 0) {
		printf("portod is not running\n");
		return EXIT_SUCCESS;
	}
	fd = proc_open(pid, 0);
	if (fd < 0)
		return EXIT_SUCCESS;
	if (containers)
		destroy_containers(inv->conf);
	(void)proc_signal(fd, SIGTERM);
	for (int i = 0; i < STOP_TIMEOUT_MSEC && !proc_is_gone(fd); i++)
		usleep(MSEC_USEC);
	if (!proc_is_gone(fd)) {
		fprintf(stderr, "portod: pid %d does not end\n", pid);
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
	int pid = super_running(inv->conf), worker = worker_pid(inv->conf);

	if (pid <= 0) {
		printf("portod is not running%s\n", worker > 0 ? ", but a worker serves on: portod start takes over" : "");
		return EXIT_FAILURE;
	}
	printf("portod is running: pid %d, worker %d, mounted at %s\n", pid, worker, inv->conf->daemon_mount);
	return EXIT_SUCCESS;
}

static int cmd_upgrade(struct invocation *inv)
{
	int pid = super_running(inv->conf), old = worker_pid(inv->conf);
	autofree char *version = path_join(inv->conf->daemon_mount, ".porto/version");
	autoclose int fd = -1;
	char buf[64];

	fd = pid > 0 ? proc_open(pid, 0) : -1;
	if (fd < 0 || proc_signal(fd, SIGHUP) < 0) {
		fprintf(stderr, "portod: not running\n");
		return EXIT_FAILURE;
	}
	for (int i = 0; i < STOP_TIMEOUT_MSEC; i++) {
		int now = worker_pid(inv->conf);

		if (now > 0 && now != old && version != NULL && file_read_small(AT_FDCWD, version, buf, sizeof(buf)) > 0)
			return EXIT_SUCCESS;
		usleep(MSEC_USEC);
	}
	fprintf(stderr, "portod: no new worker serves\n");
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
		fprintf(stderr, "portod: help-properties: expected readme, man or tsv\n");
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
} commands[] = {
	{ "run", cmd_serve, "mount and serve in the foreground (the default)" },
	{ "start", cmd_start, "the same in the background; returns when the tree answers" },
	{ "stop", cmd_stop, "end the daemon, containers go on; with --containers they are destroyed first" },
	{ "status", cmd_status, "say whether it runs" },
	{ "upgrade", cmd_upgrade, "replace daemon and worker by the binary on disk; nobody notices" },
	{ "check", cmd_check, "say what this host lacks" },
	{ "config", cmd_config, "print the configuration in force; --help explains every option" },
	{ "help-properties", cmd_help_properties, "print the property table: readme, man or tsv" },
	{ "version", cmd_version, "print the version" },
	{ "help", cmd_help, "print this" },
	{ "worker", cmd_worker, NULL },
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
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].fn(inv);
	fprintf(stderr, "portod: no such command: %s (portod help lists them)\n", name);
	return 2;
}
