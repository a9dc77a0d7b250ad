#include "engine/config.h"

#include <dirent.h>
#include <ini.h>
#include <stdio.h>

#include "base/log.h"
#include "base/units.h"
#include "engine/config_types.h"

#define BLANKS " \t\r\n"
#define CONF_SUFFIX ".conf"
#define LINE_MAX_BYTES 65536

union option {
	char *text;
	bool b;
	uint64_t u;
};

struct row {
	const char *section, *name, *help;
	enum config_type type;
	size_t offset;
	const struct prop_type *checked_by; /* CONFIG_TYPED */
	const char *def_text;
	uint64_t def_number;
};

#define ROW(s, n, t, h, ...) \
	{ .section = #s, .name = #n, .help = h, .type = t, .offset = offsetof(struct config, s##_##n), __VA_ARGS__ },

static const struct row rows[] = {
#define OPT_TEXT(s, n, def, h) ROW(s, n, CONFIG_TEXT, h, .def_text = def)
#define OPT_LEVEL(s, n, def, h) ROW(s, n, CONFIG_LEVEL, h, .def_text = def)
#define OPT_TYPED(s, n, t, def, h) ROW(s, n, CONFIG_TYPED, h, .def_text = def, .checked_by = &type_##t)
#define OPT_BOOL(s, n, def, h) ROW(s, n, CONFIG_BOOL, h, .def_number = def)
#define OPT_UINT(s, n, def, h) ROW(s, n, CONFIG_UINT, h, .def_number = def)
#define OPT_BYTES(s, n, def, h) ROW(s, n, CONFIG_BYTES, h, .def_number = def)
#define OPT_TIME(s, n, def, h) ROW(s, n, CONFIG_TIME, h, .def_number = def)
#include "engine/config.def"
};

static union option option_get(const struct config *c, const struct row *row)
{
	const void *at = (const char *)c + row->offset;
	union option o = {};

	if (row->def_text)
		memcpy(&o.text, at, sizeof(o.text));
	else if (row->type == CONFIG_BOOL)
		memcpy(&o.b, at, sizeof(o.b));
	else
		memcpy(&o.u, at, sizeof(o.u));
	return o;
}

static void option_set(struct config *c, const struct row *row, union option o)
{
	void *at = (char *)c + row->offset;

	if (row->def_text)
		memcpy(at, &o.text, sizeof(o.text));
	else if (row->type == CONFIG_BOOL)
		memcpy(at, &o.b, sizeof(o.b));
	else
		memcpy(at, &o.u, sizeof(o.u));
}

/* Takes a text, frees the old one. */
static void option_put(struct config *c, const struct row *row, union option o)
{
	if (row->def_text)
		free(option_get(c, row).text);
	option_set(c, row, o);
}

static int text_option(const char *text, union option *ret)
{
	ret->text = strdup(text);
	return ret->text ? 0 : -ENOMEM;
}

static int option_parse(const struct row *row, const char *text, union option *ret)
{
	enum log_level level;
	union value v = {};
	int r = 0;

	switch (row->type) {
	case CONFIG_BOOL:
		return unit_bool_parse(text, &ret->b);
	case CONFIG_UINT:
		return unit_uint_parse(text, &ret->u);
	case CONFIG_BYTES:
		return unit_bytes_parse(text, &ret->u);
	case CONFIG_TIME:
		return unit_time_parse(text, &ret->u);
	case CONFIG_LEVEL:
		r = log_level_parse(text, &level);
		break;
	case CONFIG_TYPED:
		r = row->checked_by->parse(text, &v);
		if (r == 0 && row->checked_by->release)
			row->checked_by->release(&v);
		break;
	case CONFIG_TEXT:
		break;
	}
	return r < 0 ? r : text_option(text, ret);
}

static const char *option_expected(const struct row *row)
{
	switch (row->type) {
	case CONFIG_BOOL:
		return type_bool.expected;
	case CONFIG_UINT:
		return type_uint.expected;
	case CONFIG_BYTES:
		return type_bytes.expected;
	case CONFIG_TIME:
		return type_time.expected;
	case CONFIG_LEVEL:
		return "error, warning, info or debug";
	case CONFIG_TYPED:
		return row->checked_by->expected;
	case CONFIG_TEXT:
		break;
	}
	return type_text.expected;
}

/* The largest unit that says it without a fraction: 15s rather than 15000000000ns. */
static void time_format(struct text *out, uint64_t nsec)
{
	static const struct {
		uint64_t nsec;
		const char *unit;
	} units[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" } };
	size_t i = 0;

	while (nsec % units[i].nsec)
		i++;
	text_addf(out, "%llu%s", (unsigned long long)(nsec / units[i].nsec), units[i].unit);
}

static void bytes_format(struct text *out, uint64_t bytes)
{
	static const char units[] = "\0KMGTPE";
	size_t i = 0;

	for (; bytes && bytes % 1024 == 0; i++)
		bytes /= 1024;
	text_addf(out, "%llu%.1s", (unsigned long long)bytes, &units[i]);
}

static void option_format(const struct config *c, const struct row *row, struct text *out)
{
	union option o = option_get(c, row);

	if (row->def_text)
		text_add(out, o.text ? o.text : "");
	else if (row->type == CONFIG_BOOL)
		text_add(out, o.b ? "true" : "false");
	else if (row->type == CONFIG_TIME)
		time_format(out, o.u);
	else if (row->type == CONFIG_BYTES)
		bytes_format(out, o.u);
	else
		unit_bytes_format(out, o.u);
}

int config_init(struct config *c)
{
	*c = (struct config){ .notes_fd = -1 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union option o = {};
		if (rows[i].def_text) {
			if (text_option(rows[i].def_text, &o) < 0) {
				config_done(c);
				return -ENOMEM;
			}
		} else if (rows[i].type == CONFIG_BOOL) {
			o.b = rows[i].def_number;
		} else {
			o.u = rows[i].def_number;
		}
		option_put(c, &rows[i], o);
	}
	return 0;
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		option_put(c, &rows[i], (union option){});
}

static bool is_section(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].section, name) == 0)
			return true;
	return false;
}

/* Control characters can't be written in an INI file, nor ';' after a blank or first: there it begins a comment. */
static const char *unwritable(const char *text)
{
	for (const char *s = text; *s; s++) {
		if ((unsigned char)*s < ' ' && *s != '\t')
			return "a control character";
		if (*s == ';' && s == text)
			return "a ';' at its beginning, which would be a comment";
		if (*s == ';' && strchr(BLANKS, s[-1]))
			return "a blank before ';', which would begin a comment";
	}
	return NULL;
}

int config_set(struct config *c, const char *section, const char *name, const char *value, struct err *err)
{
	autofree char *copy = strdup(value);
	const struct row *row = NULL;
	union option o = {};
	int r;

	if (!copy)
		return err_sys(err, ENOMEM, "%s.%s", section, name);
	value = text_trim(copy);
	for (size_t i = 0; i < ARRAY_LEN(rows) && !row; i++)
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].name, name) == 0)
			row = &rows[i];
	if (!*section)
		return err_set(err, ERR_InvalidValue, "'%s' stands in no section", name);
	if (!row && !is_section(section))
		return err_set(err, ERR_InvalidValue, "unknown section '%s'", section);
	if (!row)
		return err_set(err, ERR_InvalidValue, "unknown option '%s' in section '%s'", name, section);
	if (unwritable(value))
		return err_set(err, ERR_InvalidValue, "%s.%s: the value holds %s", section, name, unwritable(value));
	r = option_parse(row, value, &o);
	if (r == -ENOMEM)
		return err_sys(err, ENOMEM, "%s.%s", section, name);
	if (r < 0)
		return err_set_no(err, ERR_InvalidValue, EINVAL, "%s.%s: '%s': %s%s", section, name, value,
				  r == -ERANGE ? "out of range; expected " : "expected ", option_expected(row));
	option_put(c, row, o);
	return 0;
}

/* ---- files ---- */

/*
 * libinih cuts lines at its buffer (200 bytes as Debian builds it) without a word, takes the rest for a line of its
 * own, and cannot say in which line a handler failed. So it is fed from here: a long value goes to it in pieces, which
 * are its continuation lines (begun by a blank), and what it would take silently for something else is refused first.
 */
struct source {
	struct config *c;
	const char *path;
	FILE *file;
	char *line;           /* the line being fed, and what of it is still to go */
	size_t line_cap;
	const char *rest;
	size_t number;
	struct text value;    /* pieces so far of the option named */
	char section[64], name[64];
	bool has_option;
	size_t option_line;
	struct err *err;
	int error;            /* the first; feeding stops there */
};

static void source_refuse(struct source *s, size_t line, const char *sentence)
{
	if (s->error == 0)
		s->error = err_set(s->err, ERR_InvalidValue, "%s:%zu: %s", s->path, line, sentence);
}

/* The option whose pieces are complete now. */
static void source_apply(struct source *s)
{
	int r;

	if (!s->has_option || s->error < 0)
		return;
	s->has_option = false;
	r = text_ok(&s->value);
	if (r < 0)
		s->error = err_sys(s->err, -r, "%s", s->path);
	else if ((r = config_set(s->c, s->section, s->name, text_str(&s->value), s->err)) < 0)
		s->error = err_wrap(s->err, r, "%s:%zu", s->path, s->option_line);
}

/* A name too long to be copied is none of ours, and its beginning isn't either. */
static void copy_name(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
	struct source *s = user;

	if (!s->has_option) {
		text_clear(&s->value);
		copy_name(s->section, sizeof(s->section), section);
		copy_name(s->name, sizeof(s->name), name);
		s->option_line = s->number;
		s->has_option = true;
	}
	text_add(&s->value, value ? value : "");
	if (!*s->rest)
		source_apply(s);
	return s->error == 0;
}

/* "[name]" and nothing else, and a name we know: libinih reports a section only with its first option. */
static const char *section_fault(char *line, struct text *sentence)
{
	char *end = strchr(line, ']');

	if (!end || end[1])
		return "expected [section] alone on the line";
	*end = 0;
	if (!is_section(line + 1))
		text_addf(sentence, "unknown section '%s'", line + 1);
	*end = ']';
	return sentence->len ? text_str(sentence) : NULL;
}

static const char *line_fault(char *line, struct text *sentence)
{
	if (!*line || strchr("#;", *line))
		return NULL;
	if (*line == '[')
		return section_fault(line, sentence);
	if (!strchr(line, '='))
		return "expected [section] or name = value";
	if (unwritable(line)) {
		text_addf(sentence, "the line holds %s; a comment stands on a line of its own", unwritable(line));
		return text_str(sentence);
	}
	return NULL;
}

/* The next line that is not empty and no comment, trimmed and found to be sound; NULL at the end or on failure. */
static char *source_line(struct source *s)
{
	autotext struct text sentence = {};
	const char *fault = NULL;
	char *line;
	ssize_t n;

	do {
		errno = 0;
		n = getline(&s->line, &s->line_cap, s->file);
		if (n < 0) {
			if (ferror(s->file) && s->error == 0)
				s->error = err_sys(s->err, errno ? errno : EIO, "%s", s->path);
			return NULL;
		}
		line = s->line;
		if (++s->number == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
			line += 3;
		if (strlen(s->line) != (size_t)n)
			fault = "a NUL byte";
		else if (n > LINE_MAX_BYTES)
			fault = "the line is too long";
		line += strspn(line, BLANKS);
		n = (ssize_t)strlen(line);
		while (n > 0 && strchr(BLANKS, line[n - 1]))
			line[--n] = 0;
	} while (!fault && (!*line || strchr("#;", *line)));
	if (!fault)
		fault = line_fault(line, &sentence);
	if (fault)
		source_refuse(s, s->number, fault);
	return fault ? NULL : line;
}

/*
 * How many of the rest's bytes make the next piece: all, or as many as fit, ending between two bytes that libinih
 * neither trims nor takes for the beginning of a comment or section. 0: there is no such place.
 */
static size_t piece_length(const char *rest, size_t room)
{
	size_t n = strlen(rest);

	if (n <= room)
		return n;
	for (n = room; n > 0; n--)
		if (!strchr(BLANKS, rest[n - 1]) && !strchr(BLANKS "#;[", rest[n]))
			break;
	return n;
}

/* libinih's ini_reader: as fgets. */
static char *feed(char *buf, int size, void *stream)
{
	struct source *s = stream;
	bool is_piece = s->rest && *s->rest;
	size_t room, n;

	if (s->error < 0 || size < 16)
		return NULL;
	if (!is_piece) {
		s->rest = source_line(s);
		if (!s->rest)
			return NULL;
	}
	room = (size_t)size - 3;
	n = piece_length(s->rest, room);
	if (n == 0 || (n < strlen(s->rest) && !is_piece && !memchr(s->rest, '=', n - 1))) {
		source_refuse(s, s->number, "the line is too long to be cut");
		return NULL;
	}
	if (is_piece)
		*buf++ = ' ';
	memcpy(buf, s->rest, n);
	memcpy(buf + n, "\n", 2);
	s->rest += n;
	return is_piece ? buf - 1 : buf;
}

static int load_file(struct config *c, const char *path, struct err *err)
{
	struct source s = { .c = c, .path = path, .err = err };

	s.file = fopen(path, "re");
	if (!s.file)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", path);
	if (ini_parse_stream(feed, &s, on_value, &s) != 0)
		source_refuse(&s, s.number, "expected [section] or name = value");
	fclose(s.file);
	free(s.line);
	text_done(&s.value);
	return s.error;
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = strlen(CONF_SUFFIX);

	return entry->d_name[0] != '.' && len > suffix && strcmp(entry->d_name + len - suffix, CONF_SUFFIX) == 0;
}

/* Not alphasort: the order must not depend on a locale. */
static int name_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_dir(struct config *c, const char *file, struct err *err)
{
	autotext struct text path = {};
	struct dirent **names = NULL;
	int n, r = 0;

	text_addf(&path, "%s.d", file);
	n = scandir(text_str(&path), &names, is_conf, name_order);
	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "%s", text_str(&path));
	for (int i = 0; i < n; i++) {
		text_clear(&path);
		text_addf(&path, "%s.d/%s", file, names[i]->d_name);
		if (r == 0)
			r = text_ok(&path) < 0 ? err_sys(err, ENOMEM, "%s", file) : load_file(c, path.p, err);
		free(names[i]);
	}
	free(names);
	return r;
}

static int options_copy(struct config *to, const struct config *from)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union option o = option_get(from, &rows[i]);
		if (rows[i].def_text && text_option(o.text ? o.text : "", &o) < 0)
			return -ENOMEM;
		option_put(to, &rows[i], o);
	}
	return 0;
}

int config_load(struct config *c, const char *file, struct err *err)
{
	struct config fresh = {};
	int r = options_copy(&fresh, c);

	if (r < 0)
		r = err_sys(err, ENOMEM, "%s", file);
	if (r == 0)
		r = load_file(&fresh, file, err);
	if (r == 0)
		r = load_dir(&fresh, file, err);
	/* All read: only now does anything change. */
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++) {
		union option old = option_get(c, &rows[i]), new = option_get(&fresh, &rows[i]);
		option_set(c, &rows[i], new);
		option_set(&fresh, &rows[i], old);
	}
	config_done(&fresh);
	return r;
}

static void format(const struct config *c, bool has_help, struct text *out)
{
	const char *section = "";

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].section, section) != 0) {
			text_addf(out, "%s[%s]\n", *section ? "\n" : "", rows[i].section);
			section = rows[i].section;
		}
		if (has_help)
			text_addf(out, "\n# %s\n", rows[i].help);
		text_addf(out, "%s = ", rows[i].name);
		option_format(c, &rows[i], out);
		text_addc(out, '\n');
	}
}

void config_format(const struct config *c, struct text *out)
{
	format(c, false, out);
}

void config_help(struct text *out)
{
	struct config c;

	if (config_init(&c) < 0) {
		out->failed = true;
		return;
	}
	format(&c, true, out);
	config_done(&c);
}
