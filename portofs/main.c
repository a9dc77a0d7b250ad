/* portod: options, configuration, command. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "portofs/cmd.h"

#define CONFIG_FILE "/etc/portod.conf"

/* "section.name=value" */
static int set_option(struct config *conf, const char *text, struct err *err)
{
	autofree char *copy = strdup(text);
	char *dot, *eq;

	if (copy == NULL)
		return err_sys(err, ENOMEM, "options");
	dot = strchr(copy, '.');
	eq = strchr(copy, '=');
	if (dot == NULL || eq == NULL || eq < dot)
		return err_set(err, ERR_InvalidValue, "--set '%.100s': expected SECTION.NAME=VALUE", text);
	*dot = *eq = '\0';
	return config_set(conf, copy, dot + 1, eq + 1, err);
}

static int set_log(const struct config *conf)
{
	enum log_level level;
	int fd;

	if (log_level_parse(conf->daemon_log_level, &level) == 0)
		log_set_level(level);
	if (conf->daemon_log_file[0] == '\0')
		return 0;
	fd = open(conf->daemon_log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (fd < 0) {
		fprintf(stderr, "portod: %s: %s\n", conf->daemon_log_file, strerror(errno));
		return -errno;
	}
	log_set_fd(fd);
	return 0;
}

static int load(struct config *conf, int argc, char **argv, struct err *err)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "set", required_argument, NULL, 's' },
						 { "version", no_argument, NULL, 'v' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	const char *file = CONFIG_FILE;
	int o, r = config_init(conf);

	while (r == 0 && (o = getopt_long(argc, argv, "+c:s:vh", options, NULL)) != -1) {
		if (o == 'c')
			file = optarg;
		else if (o == 'v' || o == 'h')
			return o;
		else if (o == '?')
			return '?';
	}
	if (r == 0)
		r = config_load(conf, file, err);
	optind = 1; /* what is set on the command line counts more than any file */
	while (r == 0 && (o = getopt_long(argc, argv, "+c:s:vh", options, NULL)) != -1)
		if (o == 's')
			r = set_option(conf, optarg, err);
	return r;
}

int main(int argc, char **argv)
{
	static struct config conf;
	struct err err = {};
	struct invocation inv = { .conf = &conf };
	const char *name;
	int r = load(&conf, argc, argv, &err);

	if (r == 'v' || r == 'h')
		return cmd_run(r == 'v' ? "version" : "help", &inv);
	if (r == '?')
		return 2;
	if (r < 0) {
		fprintf(stderr, "portod: %s\n", err.text[0] != '\0' ? err.text : strerror(-r));
		return EXIT_FAILURE;
	}
	if (set_log(&conf) < 0)
		return EXIT_FAILURE;
	name = optind < argc ? argv[optind] : "run";
	inv.args = argv + MIN(optind + 1, argc);
	inv.again = calloc((size_t)optind + 1, sizeof(*inv.again));
	if (inv.again == NULL)
		return EXIT_FAILURE;
	for (int i = 0; i < optind; i++)
		inv.again[i] = argv[i];
	return cmd_run(name, &inv);
}
