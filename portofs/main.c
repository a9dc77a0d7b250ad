/* portod: options, configuration, command. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "portofs/cmd.h"
#include "portofs/super.h"

#define CONFIG_FILE "/etc/portod.conf"
#define SETS_MAX 50

struct options {
	const char *file;
	const char *sets[SETS_MAX];
	int n;
	bool version, help;
};

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "set", required_argument, NULL, 's' },
						 { "version", no_argument, NULL, 'v' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	int c;

	while ((c = getopt_long(argc, argv, "+c:s:vh", options, NULL)) != -1) {
		if (c == 'c') {
			o->file = optarg;
		} else if (c == 'v') {
			o->version = true;
		} else if (c == 'h') {
			o->help = true;
		} else if (c == 's' && o->n < SETS_MAX) {
			o->sets[o->n++] = optarg;
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

/* "section.name=value" */
static int set_option(struct config *conf, const char *text, struct err *err)
{
	autofree char *copy = strdup(text);
	char *dot, *eq;

	if (!copy)
		return err_sys(err, ENOMEM, "options");
	dot = strchr(copy, '.');
	eq = strchr(copy, '=');
	if (!dot || !eq || eq < dot)
		return err_set(err, ERR_InvalidValue, "--set '%.100s': expected SECTION.NAME=VALUE", text);
	*dot = *eq = 0;
	return config_set(conf, copy, dot + 1, eq + 1, err);
}

/* What is set on the command line counts more than any file. */
static int load(struct config *conf, const struct options *o, struct err *err)
{
	int r = config_init(conf);

	if (r < 0)
		return err_sys(err, -r, "configuration");
	r = config_load(conf, o->file, err);
	for (int i = 0; i < o->n && r == 0; i++)
		r = set_option(conf, o->sets[i], err);
	return r;
}

/* A supervisor in the middle of an upgrade must not fall over a bad edit: it goes on with what was in force. */
static int load_again(struct config *conf, const struct options *o, char **resume_args, struct err *err)
{
	const char *file = resume_args ? super_resume_config(resume_args) : NULL;
	int r = load(conf, o, err);

	if (r == 0 || !file)
		return r;
	log_error("%s", err->text);
	config_done(conf);
	return load(conf, &(struct options){ .file = file }, err);
}

static int set_log(const struct config *conf)
{
	enum log_level level;
	int fd;

	if (log_level_parse(conf->daemon_log_level, &level) == 0)
		log_set_level(level);
	if (!conf->daemon_log_file[0])
		return 0;
	fd = open(conf->daemon_log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0) {
		fprintf(stderr, "portod: %s: %s\n", conf->daemon_log_file, strerror(errno));
		return -errno;
	}
	log_set_fd(fd);
	return 0;
}

/* Program and options, good from any directory. */
static char **make_again(const char *program, const struct options *o)
{
	char **again = calloc(2 * ((size_t)o->n + 2), sizeof(*again)), *file = realpath(o->file, NULL);
	size_t n = 0;

	if (!again)
		return NULL;
	again[n++] = (char *)program;
	again[n++] = (char *)"--config";
	again[n++] = file ? file : (char *)o->file; /* may come to be */
	for (int i = 0; i < o->n; i++) {
		again[n++] = (char *)"--set";
		again[n++] = (char *)o->sets[i];
	}
	return again;
}

int main(int argc, char **argv)
{
	static struct config conf;
	struct options o = { .file = CONFIG_FILE };
	static struct invocation inv = { .conf = &conf };
	struct err err = {};
	const char *name;

	if (parse(&o, argc, argv) < 0)
		return 2;
	name = o.version ? "version" : o.help ? "help" : optind < argc ? argv[optind] : "run";
	inv.args = argv + MIN(optind + 1, argc);
	/* Neither needs a configuration, and a bad one must not keep them from answering. */
	if (o.version || o.help)
		return cmd_run(name, &inv);
	if (load_again(&conf, &o, strcmp(name, "resume") == 0 ? inv.args : NULL, &err) < 0) {
		fprintf(stderr, "portod: %s\n", err.text);
		return EXIT_FAILURE;
	}
	inv.again = make_again(argv[0], &o);
	if (!inv.again || set_log(&conf) < 0)
		return EXIT_FAILURE;
	return cmd_run(name, &inv);
}
