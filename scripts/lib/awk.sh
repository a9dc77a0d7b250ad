# shellcheck shell=sh
# lib/awk.sh: what the awk programs of portoctl's other parts share.
#
# shellcheck disable=SC2034 # for those parts

# What awk programs share: masks, and values made readable for people.
AWK_LIBRARY='
function mask_regexp(mask,    i, c, r) {
	for (i = 1; i <= length(mask); i++) {
		c = substr(mask, i, 1)
		if (substr(mask, i, 3) == "***") { r = r ".*"; i += 2 }
		else if (c == "*") r = r "[^/]*"
		else if (c == "?") r = r "[^/]"
		else if (c ~ /[A-Za-z0-9_@:\/-]/) r = r c
		else if (c == "^" || c == "\\") r = r "\\" c
		else r = r "[" c "]"
	}
	return "^" r "$"
}
function size(bytes,    unit) {
	bytes += 0
	for (unit = 1; bytes >= 1024 && unit < 7; unit++) bytes /= 1024
	return sprintf(bytes == int(bytes) ? "%d%s" : "%.1f%s", bytes, substr("BKMGTPE", unit, 1))
}
function duration(seconds,    s) {
	seconds += 0 # what was cut out of a line compares as text
	if (seconds < 60) return sprintf("%gs", seconds)
	s = int(seconds)
	if (s < 86400) return sprintf("%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60)
	return sprintf("%dd %2d:%02d", s / 86400, s / 3600 % 24, s / 60 % 60)
}
function size_map(text,    n, i, entry, out) {
	n = split(text, entry, /; */)
	for (i = 1; i <= n; i++) {
		if (match(entry[i], /[0-9]+$/))
			entry[i] = substr(entry[i], 1, RSTART - 1) size(substr(entry[i], RSTART))
		out = out (i > 1 ? "; " : "") entry[i]
	}
	return out
}
function human(property, text, terminal,    signal) {
	if (property ~ /^(time|aging_time)$/ && text ~ /^[0-9]+$/)
		return duration(text)
	if (property ~ /^cpu_(usage|usage_system|wait|throttled|burst_usage|unconstrained_wait|period)$/ && text ~ /^[0-9]+$/)
		return duration(text / 1000000000)
	if (property ~ /^(memory|anon|cache|shmem|mlock|hugetlb|dirty)_|^(max_rss|stdout_limit)$/ && text ~ /^[0-9]+$/)
		return size(text)
	if (property == "exit_status" && text ~ /^[0-9]+$/) {
		signal = text % 128
		return signal ? "killed by signal " signal (text % 256 >= 128 ? ", core dumped" : "") : "exit code " int(text / 256)
	}
	if (property ~ /^(net_(rx_)?(limit|guarantee)|net_.*bytes$|(io_(limit|guarantee|read|write)|virtual_memory)$)/)
		text = size_map(text)
	if (terminal && property !~ /^(command|command_argv|core_command|private|taint|stdout|stderr)$/)
		gsub(/; */, ";\n    ", text)
	return text
}
'
