/* The property table for people and machines. */
#include "engine/ct.h"
#include "engine/daemon.h"
#include "engine/metrics_text.h"

static const char *const when_words[] = { [WHEN_NEVER] = "read only",
					  [WHEN_STOPPED] = "written when stopped",
					  [WHEN_DYNAMIC] = "written in every state but dead",
					  [WHEN_ANY] = "written in every state" };

static bool shown(int i)
{
	return i < PROP_knob && !(props[i].flags & P_FILE);
}

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

int engine_help(const char *how, struct text *out)
{
	if (strcmp(how, "readme") == 0)
		readme(out);
	else if (strcmp(how, "man") == 0)
		man(out);
	else if (strcmp(how, "tsv") == 0)
		properties_format(out);
	else
		return -EINVAL;
	return text_ok(out);
}
