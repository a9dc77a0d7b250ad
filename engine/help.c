/* The property table for people and machines. */
#include "engine/ct.h"
#include "engine/daemon.h"
#include "engine/dirs.h"
#include "engine/metrics_text.h"

static const char *const when_words[] = { [WHEN_NEVER] = "read only",
					  [WHEN_STOPPED] = "written when stopped",
					  [WHEN_DYNAMIC] = "written in every state but dead",
					  [WHEN_ANY] = "written in every state" };

static bool shown(int i)
{
	return i < PROP_knob && !(props[i].flags & P_FILE);
}

static void readme_rows(const char *title, const struct dir_ops *dir, struct text *out);

static void readme(struct text *out)
{
	text_add(out, "Properties, a file each (r: read only; S: written when stopped; D: in every state but dead; A: always):\n\n");
	for (int i = 0; i < PROP_COUNT; i++)
		if (shown(i))
			text_addf(out, "  %-18s %-2s %s\n", props[i].name,
				  props[i].when == WHEN_NEVER ? "r" : props[i].when == WHEN_STOPPED ? "S" :
							      props[i].when == WHEN_DYNAMIC	 ? "D" : "A",
				  props[i].help);
	text_add(out, "\nOther files of a container:\n\n");
	for (int i = 0; i < PROP_COUNT; i++)
		if (i < PROP_knob && (props[i].flags & P_FILE))
			text_addf(out, "  %-18s    %s\n", props[i].name, props[i].help);
	text_add(out, "\nFiles of .porto:\n\n");
	for (int i = 0; i < DAEMON_FILES; i++)
		text_addf(out, "  %-18s    %s\n", daemon_rows[i].name, daemon_rows[i].help);
	readme_rows("Files of .volumes", &volumes_dir, out);
	readme_rows("Files of a volume (r: read only; N: written before it is built; T: then too; w: written, it acts)", &volume_dir, out);
	readme_rows("Files of a layer and of a storage (r: read only; w: written, it acts)", &layer_dir, out);
	readme_rows("Files of a meta-storage", &meta_dir, out);
}

/* r: read only; N: written before it is built; T: then too; w: only written, it does something. */
static const char *row_letter(const struct file_row *row)
{
	if (!(row->flags & FILE_WRITE))
		return "r";
	if (!(row->flags & FILE_READ))
		return "w";
	return row->type == NULL ? "rw" : row->flags & FILE_ACTION ? "T" : "N";
}

void vol_properties_format(struct text *out)
{
	for (size_t i = 0; i < volume_dir.count; i++) {
		const struct file_row *row = &volume_dir.rows[i];
		const char *letter = row_letter(row);

		text_addf(out, "%s\t%s\t%s\t%s\t%s\n", row->name, letter[0] == 'N' || letter[0] == 'T' ? "rw" : letter,
			  row->type != NULL ? letter : "-", row->def != NULL ? row->def : "", row->help);
	}
}

static void readme_rows(const char *title, const struct dir_ops *dir, struct text *out)
{
	text_addf(out, "\n%s:\n\n", title);
	for (size_t i = 0; i < dir->count; i++)
		text_addf(out, "  %-18s %-2s %s\n", dir->rows[i].name, row_letter(&dir->rows[i]), dir->rows[i].help);
}

/* In roff a backslash and a dot or quote at a line's start mean something. */
static void roff(struct text *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		text_add(out, "\\&");
	for (; *s != '\0'; s++)
		if (*s == '\\')
			text_add(out, "\\e");
		else if (*s == '-')
			text_add(out, "\\-");
		else
			text_addc(out, *s);
	text_addc(out, '\n');
}

static void man(struct text *out)
{
	for (int i = 0; i < PROP_COUNT; i++) {
		if (!shown(i))
			continue;
		text_addf(out, ".TP\n.B %s\n", props[i].name);
		roff(out, props[i].help);
		text_addf(out, "(%s%s%s", when_words[props[i].when], props[i].def != NULL ? "; default " : "",
			  props[i].def != NULL ? props[i].def : "");
		if (props[i].flags & P_STAT) {
			text_add(out, "; metric ");
			metrics_name(&props[i], out);
		}
		text_add(out, ")\n");
	}
}

static void man_rows(const char *title, const struct dir_ops *dir, struct text *out)
{
	text_addf(out, ".SH \"%s\"\n", title);
	for (size_t i = 0; i < dir->count; i++) {
		const struct file_row *row = &dir->rows[i];

		text_addf(out, ".TP\n.B %s\n", row->name);
		roff(out, row->help);
		if (row->type != NULL)
			text_addf(out, "(%s%s%s)\n", row->flags & FILE_ACTION ? "written at any time" : "written before it is built",
				  row->def != NULL ? "; default " : "", row->def != NULL ? row->def : "");
	}
}

static void man_all(struct text *out)
{
	man(out);
	man_rows("FILES OF .volumes", &volumes_dir, out);
	man_rows("FILES OF A VOLUME", &volume_dir, out);
	man_rows("FILES OF A LAYER OR A STORAGE", &layer_dir, out);
	man_rows("FILES OF A META-STORAGE", &meta_dir, out);
}

int engine_help(const char *how, struct text *out)
{
	if (strcmp(how, "readme") == 0)
		readme(out);
	else if (strcmp(how, "man") == 0)
		man_all(out);
	else if (strcmp(how, "volumes") == 0)
		vol_properties_format(out);
	else if (strcmp(how, "tsv") == 0)
		properties_format(out);
	else
		return -EINVAL;
	return text_ok(out);
}
