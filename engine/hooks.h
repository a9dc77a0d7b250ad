/*
 * engine/hooks.h: the functions named in props.def, by kind; what each kind may do is said in props.h (struct prop).
 */
#ifndef ENGINE_HOOKS_H
#define ENGINE_HOOKS_H

#include "engine/ct.h"

#define READ_HOOK(name) int name(struct ct *ct, const char *key, struct text *out, struct err *err)
#define CHECK_HOOK(name) int name(struct change *c)
#define APPLY_HOOK(name) int name(struct ct *ct, const union value *v, struct err *err)
#define COMMIT_HOOK(name) void name(struct change *c)
#define SETTLE_HOOK(name) void name(struct ct *ct)
#define WRITE_HOOK(name) int name(struct change *c)
#define LACKS_HOOK(name) const char *name(const struct cgroups *g)

/* For the read of what has no keys: 0, or InvalidValue if there is one. */
static inline int no_index(const char *key, struct err *err, const char *name)
{
	return key == NULL ? 0 : err_set(err, ERR_InvalidValue, "Invalid subscript for property %s", name);
}

READ_HOOK(read_absolute_name);
READ_HOOK(read_absolute_namespace);
READ_HOOK(read_cgroupfs);
READ_HOOK(read_cgroups);
READ_HOOK(read_change_time);
READ_HOOK(read_command);
READ_HOOK(read_controllers);
READ_HOOK(read_core_dumped);
READ_HOOK(read_cpu_guarantee_bound);
READ_HOOK(read_cpu_guarantee_total);
READ_HOOK(read_cpu_limit);
READ_HOOK(read_cpu_limit_bound);
READ_HOOK(read_cpu_limit_total);
READ_HOOK(read_cpu_period);
READ_HOOK(read_cpu_policy);
READ_HOOK(read_cpu_pressure);
READ_HOOK(read_cpu_set_affinity);
READ_HOOK(read_cpu_throttled);
READ_HOOK(read_cpu_usage);
READ_HOOK(read_cpu_usage_system);
READ_HOOK(read_cpu_vendor);
READ_HOOK(read_cpu_wait);
READ_HOOK(read_creation_time);
READ_HOOK(read_cwd);
READ_HOOK(read_death_time);
READ_HOOK(read_enable_porto);
READ_HOOK(read_env);
READ_HOOK(read_env_secret);
READ_HOOK(read_error);
READ_HOOK(read_exit_code);
READ_HOOK(read_exit_status);
READ_HOOK(read_group);
READ_HOOK(read_id);
READ_HOOK(read_io_ops);
READ_HOOK(read_io_pressure);
READ_HOOK(read_io_read);
READ_HOOK(read_io_read_ops);
READ_HOOK(read_io_time);
READ_HOOK(read_io_write);
READ_HOOK(read_io_write_ops);
READ_HOOK(read_isolate);
READ_HOOK(read_knob);
READ_HOOK(read_labels);
READ_HOOK(read_level);
READ_HOOK(read_oom_killed);
READ_HOOK(read_oom_kills);
READ_HOOK(read_oom_kills_total);
READ_HOOK(read_output_err);
READ_HOOK(read_output_out);
READ_HOOK(read_owner_cred);
READ_HOOK(read_owner_group);
READ_HOOK(read_owner_user);
READ_HOOK(read_parent);
READ_HOOK(read_place);
READ_HOOK(read_process_count);
READ_HOOK(read_readme);
READ_HOOK(read_resolv_conf);
READ_HOOK(read_root_path);
READ_HOOK(read_root_pid);
READ_HOOK(read_spec);
READ_HOOK(read_start_error);
READ_HOOK(read_start_time);
READ_HOOK(read_stat);
READ_HOOK(read_state);
READ_HOOK(read_stderr_offset);
READ_HOOK(read_stdout_offset);
READ_HOOK(read_sysctl);
READ_HOOK(read_taint);
READ_HOOK(read_task_cred);
READ_HOOK(read_thread_count);
READ_HOOK(read_thread_limit);
READ_HOOK(read_time);
READ_HOOK(read_ulimit);
READ_HOOK(read_unshare);
READ_HOOK(read_user);
READ_HOOK(read_userns);
READ_HOOK(read_volumes_linked);
READ_HOOK(read_volumes_owned);

CHECK_HOOK(check_bind);
CHECK_HOOK(check_cgroupfs);
CHECK_HOOK(check_command);
CHECK_HOOK(check_cpu_limit);
CHECK_HOOK(check_cpu_policy);
CHECK_HOOK(check_cpu_set);
CHECK_HOOK(check_cpu_weight);
CHECK_HOOK(check_enable_porto);
CHECK_HOOK(check_etc_hosts);
CHECK_HOOK(check_group);
CHECK_HOOK(check_hostname);
CHECK_HOOK(check_io_guarantee);
CHECK_HOOK(check_io_limit);
CHECK_HOOK(check_io_policy);
CHECK_HOOK(check_io_weight);
CHECK_HOOK(check_isolate);
CHECK_HOOK(check_labels);
CHECK_HOOK(check_never);
CHECK_HOOK(check_only_true);
CHECK_HOOK(check_owner_containers);
CHECK_HOOK(check_owner_group);
CHECK_HOOK(check_owner_user);
CHECK_HOOK(check_place);
CHECK_HOOK(check_porto_namespace);
CHECK_HOOK(check_private);
CHECK_HOOK(check_resolv_conf);
CHECK_HOOK(check_root);
CHECK_HOOK(check_stdout_limit);
CHECK_HOOK(check_stream);
CHECK_HOOK(check_symlink);
CHECK_HOOK(check_thread_limit);
CHECK_HOOK(check_ulimit);
CHECK_HOOK(check_user);
CHECK_HOOK(check_virt_mode);
CHECK_HOOK(check_volumes_required);

APPLY_HOOK(apply_cpu_guarantee);
APPLY_HOOK(apply_cpu_limit);
APPLY_HOOK(apply_cpu_period);
APPLY_HOOK(apply_cpu_policy);
APPLY_HOOK(apply_cpu_set);
APPLY_HOOK(apply_cpu_weight);
APPLY_HOOK(apply_io_limit);
APPLY_HOOK(apply_io_ops_limit);
APPLY_HOOK(apply_io_policy);
APPLY_HOOK(apply_io_weight);
APPLY_HOOK(apply_resolv_conf);
APPLY_HOOK(apply_symlink);
APPLY_HOOK(apply_thread_limit);
APPLY_HOOK(apply_ulimit);

COMMIT_HOOK(commit_aging);
COMMIT_HOOK(commit_argv);
COMMIT_HOOK(commit_command);
COMMIT_HOOK(commit_group);
COMMIT_HOOK(commit_labels);
COMMIT_HOOK(commit_owner_group);
COMMIT_HOOK(commit_owner_user);
COMMIT_HOOK(commit_respawn);
COMMIT_HOOK(commit_stream);
COMMIT_HOOK(commit_user);
COMMIT_HOOK(commit_virt_mode);

WRITE_HOOK(write_attach);
WRITE_HOOK(write_controllers);
WRITE_HOOK(write_owner_cred);
WRITE_HOOK(write_state);
WRITE_HOOK(write_task_cred);

/* ---- network: net_props.c, read_net.c ---- */

CHECK_HOOK(check_default_gw);
CHECK_HOOK(check_ip);
CHECK_HOOK(check_ip_limit);
CHECK_HOOK(check_net);
CHECK_HOOK(check_net_rates);
CHECK_HOOK(check_publish);

APPLY_HOOK(apply_net_guarantee);
APPLY_HOOK(apply_net_limit);
APPLY_HOOK(apply_net_rx_limit);
APPLY_HOOK(apply_net_tos);
APPLY_HOOK(apply_publish);

READ_HOOK(read_ip);
READ_HOOK(read_net);
READ_HOOK(read_net_bytes);
READ_HOOK(read_net_class_id);
READ_HOOK(read_net_drops);
READ_HOOK(read_net_lacking);
READ_HOOK(read_net_limit_bound);
READ_HOOK(read_net_netstat);
READ_HOOK(read_net_overlimits);
READ_HOOK(read_net_packets);
READ_HOOK(read_net_rx_bytes);
READ_HOOK(read_net_rx_drops);
READ_HOOK(read_net_rx_limit_bound);
READ_HOOK(read_net_rx_overlimits);
READ_HOOK(read_net_rx_packets);
READ_HOOK(read_net_snmp);
READ_HOOK(read_net_snmp6);
READ_HOOK(read_net_tx_bytes);
READ_HOOK(read_net_tx_drops);
READ_HOOK(read_net_tx_packets);

LACKS_HOOK(lacks_net_soft);
LACKS_HOOK(lacks_net_speed);

/* ---- memory: apply_memory.c, read_memory.c ---- */

READ_HOOK(read_anon_usage);
READ_HOOK(read_cache_usage);
READ_HOOK(read_hugetlb_limit);
READ_HOOK(read_hugetlb_usage);
READ_HOOK(read_major_faults);
READ_HOOK(read_memory_guarantee_total);
READ_HOOK(read_memory_limit);
READ_HOOK(read_memory_limit_total);
READ_HOOK(read_memory_peak);
READ_HOOK(read_memory_pressure);
READ_HOOK(read_memory_reclaimed);
READ_HOOK(read_memory_usage);
READ_HOOK(read_minor_faults);
READ_HOOK(read_mlock_usage);
READ_HOOK(read_shmem_usage);
READ_HOOK(read_virtual_memory);

CHECK_HOOK(check_memory_bytes);
CHECK_HOOK(check_memory_guarantee);
CHECK_HOOK(check_oom_score_adj);

APPLY_HOOK(apply_hugetlb_limit);
APPLY_HOOK(apply_memory_guarantee);
APPLY_HOOK(apply_memory_limit);

SETTLE_HOOK(settle_cpu_limit);
SETTLE_HOOK(settle_enable_porto);
SETTLE_HOOK(settle_memory_limit);
SETTLE_HOOK(settle_pressurize);

WRITE_HOOK(write_memory_peak);

LACKS_HOOK(lacks_anon);
LACKS_HOOK(lacks_anon_only);
LACKS_HOOK(lacks_dirty);
LACKS_HOOK(lacks_guarantee);
LACKS_HOOK(lacks_lock_policy);
LACKS_HOOK(lacks_memory_pressure);
LACKS_HOOK(lacks_peak);
LACKS_HOOK(lacks_pressurize);
LACKS_HOOK(lacks_recharge);
LACKS_HOOK(lacks_writeback);

/* ---- rights of processes: caps.c ---- */

READ_HOOK(read_capabilities);
READ_HOOK(read_capabilities_allowed);
READ_HOOK(read_capabilities_ambient);

CHECK_HOOK(check_capabilities);
CHECK_HOOK(check_capabilities_ambient);

READ_HOOK(read_seccomp); /* seccomp.c */
CHECK_HOOK(check_seccomp);
LACKS_HOOK(lacks_seccomp);

/* ---- core dumps: core.c ---- */

READ_HOOK(read_core_command);
READ_HOOK(read_coredump_filter);

CHECK_HOOK(check_core_command);
CHECK_HOOK(check_coredump_filter);

/* ---- devices: devices.c ---- */

READ_HOOK(read_devices);

CHECK_HOOK(check_devices);
CHECK_HOOK(check_devices_explicit);

APPLY_HOOK(apply_devices);
APPLY_HOOK(apply_devices_explicit);

#endif
