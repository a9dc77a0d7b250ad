/* Numbers of volumes for Prometheus: what is known of each, without asking the kernel (vol_usage_seen). */
#include "engine/access.h"
#include "engine/vol.h"

enum number { SPACE_USED, SPACE_AVAILABLE, SPACE_LIMIT, SPACE_GUARANTEE, INODE_USED, INODE_AVAILABLE, INODE_LIMIT, INODE_GUARANTEE, NUMBERS };

static const struct {
	const char *name, *unit, *help;
} families[NUMBERS] = {
	[SPACE_USED] = { "space_used_bytes", "bytes", "bytes in use" },
	[SPACE_AVAILABLE] = { "space_available_bytes", "bytes", "bytes that are free" },
	[SPACE_LIMIT] = { "space_limit_bytes", "bytes", "bytes at most; 0: no limit" },
	[SPACE_GUARANTEE] = { "space_guarantee_bytes", "bytes", "bytes promised" },
	[INODE_USED] = { "inode_used", NULL, "inodes in use" },
	[INODE_AVAILABLE] = { "inode_available", NULL, "inodes that are free" },
	[INODE_LIMIT] = { "inode_limit", NULL, "inodes at most; 0: no limit" },
	[INODE_GUARANTEE] = { "inode_guarantee", NULL, "inodes promised" },
};

static uint64_t number_of(struct vol *v, enum number n)
{
	const struct vol_usage *u = vol_usage_seen(v);
	struct vol_limits l;

	vol_limits_of(v, &l);
	const uint64_t all[NUMBERS] = {
		[SPACE_USED] = u->space_used,	    [SPACE_AVAILABLE] = u->space_available,
		[SPACE_LIMIT] = l.space_limit,	    [SPACE_GUARANTEE] = l.space_guarantee,
		[INODE_USED] = u->inode_used,	    [INODE_AVAILABLE] = u->inode_available,
		[INODE_LIMIT] = l.inode_limit,	    [INODE_GUARANTEE] = l.inode_guarantee,
	};
	return all[n];
}

static bool is_counted(const struct vol *v)
{
	return !v->gone && (v->state == VS_READY || v->state == VS_TUNING);
}

void vol_metrics(struct engine *e, const struct engine_cred *who, struct text *out)
{
	size_t seen = 0;

	for (const struct vol *v = e->vols; v != NULL; v = v->next)
		seen += access_shows_vol(e, who, v);
	for (int n = 0; e->vols != NULL && n < NUMBERS; n++) {
		text_addf(out, "# TYPE porto_volume_%s gauge\n", families[n].name);
		if (families[n].unit != NULL)
			text_addf(out, "# UNIT porto_volume_%s %s\n", families[n].name, families[n].unit);
		text_addf(out, "# HELP porto_volume_%s %s\n", families[n].name, families[n].help);
		for (struct vol *v = e->vols; v != NULL; v = v->next)
			if (is_counted(v) && access_shows_vol(e, who, v))
				text_addf(out, "porto_volume_%s{volume=\"%u\"} %llu\n", families[n].name, (unsigned)v->id,
					  (unsigned long long)number_of(v, n));
	}
	text_addf(out, "# TYPE porto_volumes gauge\n# HELP porto_volumes volumes there are\nporto_volumes %zu\n", seen);
}
