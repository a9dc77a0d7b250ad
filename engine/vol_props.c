/* The files of a volume: what is read from them, and the verbs. Values that are set: vol_values.c. */
#include <stdio.h>
#include <time.h>

#include "base/fd.h"
#include "base/names.h"
#include "base/proc.h"
#include "base/units.h"
#include "engine/cred.h"
#include "engine/layer.h"
#include "engine/limits.h"
#include "engine/place.h"
#include "engine/vol.h"

#define USAGE_AGE UINT64_C(60000000000) /* spec 2: refreshed each minute */

static struct vol *vol_of(const struct file_call *c)
{
	return vol_find(c->e, c->node->ct);
}

static struct ct *home_of(const struct file_call *c)
{
	return cred_caller(c->e, c->who);
}

static int line_end(struct text *out)
{
	text_addc(out, '\n');
	return text_ok(out);
}

/* ---- reads ---- */

int vol_read_value(const struct file_call *c, struct text *out)
{
	c->row->type->format(&vol_of(c)->val[c->node->file], out);
	return line_end(out);
}

static int read_time(int64_t when, struct text *out)
{
	time_t t = (time_t)when;
	struct tm tm;
	char buf[64];

	if (when != 0 && localtime_r(&t, &tm) != NULL && strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm) > 0)
		text_addf(out, "%s\n", buf);
	return text_ok(out);
}

static int vread_build_time(const struct file_call *c, struct text *out)
{
	return read_time(vol_of(c)->build_wall, out);
}

static int vread_change_time(const struct file_call *c, struct text *out)
{
	return read_time(vol_of(c)->change_wall, out);
}

static int vread_containers(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);

	if (v->state == VS_INITIAL)
		return vol_read_value(c, out);
	for (const struct vlink *l = v->links; l != NULL; l = l->next) {
		if (l != v->links)
			text_addc(out, ';');
		vlink_format(v, l, out);
	}
	return line_end(out);
}

static int vread_creator(const struct file_call *c, struct text *out)
{
	text_add(out, vol_of(c)->creator != NULL ? vol_of(c)->creator : "");
	return line_end(out);
}

static int vread_device(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);

	if (v->made.device[0] == '\0')
		return err_set_no(c->err, ERR_InvalidValue, ENODATA, "device_name: %s",
				  v->state == VS_READY ? "not on a disk that has a name" : "not built yet");
	text_add(out, v->made.device);
	return line_end(out);
}

static int vread_error(const struct file_call *c, struct text *out)
{
	if (vol_of(c)->error != NULL)
		text_addf(out, "%s\n", vol_of(c)->error);
	return text_ok(out);
}

static int vread_id(const struct file_call *c, struct text *out)
{
	text_addf(out, "%u\n", (unsigned)c->node->ct);
	return text_ok(out);
}

static int vread_ready(const struct file_call *c, struct text *out)
{
	enum vol_state s = vol_of(c)->state;

	text_add(out, s == VS_READY || s == VS_TUNING ? "true\n" : "false\n");
	return text_ok(out);
}

static int vread_report(const struct file_call *c, struct text *out)
{
	text_add(out, vol_of(c)->report != NULL ? vol_of(c)->report : "");
	return text_ok(out);
}

static int vread_state(const struct file_call *c, struct text *out)
{
	text_addf(out, "%s\n", vol_state_names[vol_of(c)->state]);
	return text_ok(out);
}

static int vread_spec(const struct file_call *c, struct text *out)
{
	vol_spec_format(vol_of(c), out);
	return text_ok(out);
}

/* Decided values, once it is built. */
static int read_decided(const struct file_call *c, const char *text, struct text *out)
{
	if (vol_of(c)->state == VS_INITIAL || text == NULL)
		return vol_read_value(c, out);
	text_add(out, text);
	return line_end(out);
}

static int vread_backend(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);

	return read_decided(c, v->made.backend[0] != '\0' ? v->made.backend : NULL, out);
}

static int vread_path(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);

	if (v->state == VS_INITIAL || v->plan.path == NULL)
		return vol_read_value(c, out);
	if (!vol_path_seen(v, home_of(c), out))
		return err_set(c->err, ERR_Permission, "path: not below the root of your container");
	return line_end(out);
}

static int vread_place(const struct file_call *c, struct text *out)
{
	return read_decided(c, vol_of(c)->plan.place, out);
}

static int vread_storage(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);

	return read_decided(c, v->made.storage[0] != '\0' && v->plan.storage != NULL && v->plan.storage[0] == '\0' ? v->made.storage : NULL, out);
}

static int vread_owner_container(const struct file_call *c, struct text *out)
{
	const struct vol *v = vol_of(c);
	const struct ct *ct = ct_find(c->e, v->owner_ct);

	if (v->state == VS_INITIAL && vol_is_set(v, VOL_owner_container))
		return vol_read_value(c, out);
	text_add(out, ct != NULL ? ct->name : "/");
	return line_end(out);
}

static int vread_owner_user(const struct file_call *c, struct text *out)
{
	cred_user_name(vol_of(c)->owner_uid, out);
	return line_end(out);
}

static int vread_owner_group(const struct file_call *c, struct text *out)
{
	cred_group_name(vol_of(c)->owner_gid, out);
	return line_end(out);
}

static int vread_user(const struct file_call *c, struct text *out)
{
	cred_user_name(vol_of(c)->user_uid, out);
	return line_end(out);
}

static int vread_group(const struct file_call *c, struct text *out)
{
	cred_group_name(vol_of(c)->user_gid, out);
	return line_end(out);
}

static void usage_done(void *arg)
{
	struct vop *op = arg;
	struct vol *v = vol_find(op->e, op->vol);

	if (v != NULL) {
		v->usage_asked = false;
		v->usage_at = clock_mono();
		if (op->result == 0)
			v->usage = *(struct vol_usage *)op->usage;
	}
	free(op->usage);
	vop_free(op);
}

static void usage_work(void *arg)
{
	struct vop *op = arg;

	op->result = vol_usage(&op->spec, &op->made, op->usage);
}

/* Asks in the background; what is known is told meanwhile. */
void vol_usage_refresh(struct vol *v)
{
	struct vop *op;

	if (v->usage_asked || (v->state != VS_READY && v->state != VS_TUNING))
		return;
	op = vop_new(v, VOP_CHECK, &(struct engine_cred){ .uid = 0 }, 0);
	if (op == NULL)
		return;
	op->usage = calloc(1, sizeof(struct vol_usage));
	if (op->usage == NULL || vop_prepare(v, op) < 0 || loop_work_for(v->e->loop, place_group(op->plan.place), usage_work, usage_done, op) < 0) {
		free(op->usage);
		vop_free(op);
		return;
	}
	v->usage_asked = true;
}

const struct vol_usage *vol_usage_seen(struct vol *v)
{
	if (clock_mono() - v->usage_at > USAGE_AGE)
		vol_usage_refresh(v);
	return &v->usage;
}

static int vread_usage(const struct file_call *c, struct text *out)
{
	const struct vol_usage *u = vol_usage_seen(vol_of(c));
	const struct {
		int row;
		uint64_t value;
	} rows[] = {
		{ VOL_space_used, u->space_used },
		{ VOL_inode_used, u->inode_used },
		{ VOL_space_available, u->space_available },
		{ VOL_inode_available, u->inode_available },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].row == c->node->file)
			text_addf(out, "%llu\n", (unsigned long long)rows[i].value);
	return text_ok(out);
}

/* ---- verbs ---- */

static int begin(const struct file_call *c, enum vop_kind kind)
{
	struct vol *v = vol_of(c);
	struct vop *op = vop_new(v, kind, c->who, c->cookie);

	return op == NULL ? err_sys(c->err, ENOMEM, "state") : vop_begin(v, op, c->err);
}

static int vwrite_state(const struct file_call *c, const char *text)
{
	static const char *const words[] = { [VOP_BUILD] = "build", [VOP_CHECK] = "check", [VOP_DESTROY] = "destroy" };
	int kind = names_find(words, ARRAY_LEN(words), text);
	struct vol *v = vol_of(c);

	if (kind < 0)
		return err_set(c->err, ERR_InvalidValue, "state: '%.50s': expected build, check or destroy", text);
	if (kind == VOP_BUILD && (v->state != VS_INITIAL || v->ops != NULL))
		return err_set(c->err, ERR_InvalidState, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	if (kind == VOP_CHECK && v->state != VS_READY && v->state != VS_TUNING)
		return err_set(c->err, ERR_VolumeNotReady, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	return begin(c, (enum vop_kind)kind);
}

static int vwrite_link(const struct file_call *c, const char *text)
{
	struct vol *v = vol_of(c);
	struct vop *op = vop_new(v, VOP_LINK, c->who, c->cookie);
	int r;

	if (op == NULL)
		return err_sys(c->err, ENOMEM, "link");
	r = vlink_parse(c->e, home_of(c), text, op, c->err);
	if (r < 0) {
		vop_free(op);
		return r;
	}
	return vop_begin(v, op, c->err);
}

static int vwrite_unlink(const struct file_call *c, const char *text)
{
	struct vol *v = vol_of(c);
	struct vop *op = vop_new(v, VOP_UNLINK, c->who, c->cookie);
	int r;

	if (op == NULL)
		return err_sys(c->err, ENOMEM, "unlink");
	r = vunlink_parse(c->e, home_of(c), text, op, c->err);
	if (r < 0) {
		vop_free(op);
		return r;
	}
	return vop_begin(v, op, c->err);
}

static int vwrite_export(const struct file_call *c, const char *text)
{
	const char *format = c->key != NULL ? c->key : archive_format(text);
	struct vol *v = vol_of(c);

	if (sjob_of_cookie(c->e, c->cookie) != NULL)
		return ENGINE_PENDING; /* begun by the last worker */
	if (v->state != VS_READY && v->state != VS_TUNING)
		return err_set(c->err, ERR_VolumeNotReady, "volume %u is %s", (unsigned)v->id, vol_state_names[v->state]);
	return sjob_export_volume(v, c, text, format);
}

static int vread_progress(const struct file_call *c, struct text *out)
{
	const struct sjob *j = sjob_of_volume(c->e, c->node->ct);

	if (j != NULL)
		sjob_progress(j, out);
	return text_ok(out);
}

const struct file_row vol_rows[VOL_FILES] = {
#define VFILE(id, ...) FILE_ROW(VOL_, id, __VA_ARGS__)
#include "engine/vols.def"
#undef VFILE
};

/* ---- the directory ---- */

static bool exists(struct engine *e, const struct engine_node *n)
{
	const struct vol *v = vol_find(e, n->ct);

	return v != NULL && !v->gone;
}

static int attr(struct engine *e, const struct engine_node *n, struct engine_attr *ret)
{
	const struct vol *v = vol_find(e, n->ct);

	ret->uid = v->owner_uid;
	ret->gid = v->owner_gid;
	ret->mtime = ret->ctime = v->change_wall;
	return 0;
}

static int check_writer(const struct dir_call *c)
{
	int r = cred_check_access(c->e, c->who, c->err);

	return r < 0 ? r : vol_check_owner(vol_find(c->e, c->node->ct), c->as, c->err);
}

int vol_check_writes(const struct file_call *c)
{
	return vol_check_owner(vol_find(c->e, c->node->ct), c->who, c->err);
}

static int change_owner(const struct dir_call *c, uid_t uid, gid_t gid)
{
	struct vol *v = vol_find(c->e, c->node->ct);
	uid_t old_uid = v->owner_uid;
	gid_t old_gid = v->owner_gid;
	int r = vol_check_owner(v, c->as, c->err);

	if (r == 0 && uid != (uid_t)-1 && uid != v->owner_uid && c->as->uid != 0)
		r = err_set_no(c->err, ERR_Permission, EPERM, "only root gives a volume away");
	if (r == 0 && gid != (gid_t)-1 && gid != v->owner_gid && c->as->uid != 0 && !cred_in_group(c->as->uid, gid))
		r = err_set_no(c->err, ERR_Permission, EPERM, "group %u is not yours", (unsigned)gid);
	if (r < 0)
		return r;
	v->owner_uid = uid != (uid_t)-1 ? uid : old_uid;
	v->owner_gid = gid != (gid_t)-1 ? gid : old_gid;
	r = vol_save(v, c->cookie, 0, c->err);
	if (r < 0) {
		v->owner_uid = old_uid;
		v->owner_gid = old_gid;
	}
	return r;
}

static bool join(struct engine *e, uint64_t cookie)
{
	return vop_join(e, cookie, false);
}

const struct dir_ops volume_dir = {
	.rows = vol_rows,
	.count = VOL_FILES,
	.exists = exists,
	.attr = attr,
	.check_writer = check_writer,
	.check_owner = vol_check_writes,
	.chown = change_owner,
	.take_back = vol_take_back,
	.join = join,
	.cancel = vop_cancel,
};
