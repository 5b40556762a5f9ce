# SPDX-License-Identifier: Apache-2.0
# raw/*.txt -> what each run says, one figure a line on stdout, fields by tabs:
#   vmm config workload cpus round id figure unit value why
# An empty value has a why. Also writes -v series=FILE (resident memory over time, CSV), -v runs=FILE (a line a run: id vmm
# config workload cpus round why command), -v remarks=FILE (what runs lacked, and files that are no runs) and -v windows=FILE
# (for the pictures, a line a `return` run: vmm config cpus round, when memory was freed and when the wait ended, in seconds as
# in series; before, peak: MiB).

BEGIN {
	OFS = "\t"
	MIB_MIN = 16 # less than this came back: a quotient by it says nothing
	print "vmm,config,round,t_s,resident_mib,workload,cpus" >series
	printf "" >runs
	printf "" >remarks
	printf "" >windows
}

FNR == 1 {
	finish()
	start_file()
}

{ sub(/\r$/, "") }

$1 != "bench" { next }

$2 == "run" && FNR == 1 {
	is_run = 1
	words(3)
	id = word["id"]
	vmm = word["vmm"]
	config = word["config"]
	workload = word["workload"]
	cpus = word["cpus"]
	round = word["round"]
	next
}

$2 == "command" { command = command (command == "" ? "" : " ; ") rest(3) }
$2 == "none" && none == "" { none = NF > 2 ? rest(3) : "the run says that it has no figure, and not why" }
$2 == "lacks" { lacks[$3] = NF > 3 ? rest(4) : "no reason was given" }
$2 == "sample" && is_number($3) && is_number($4) { add_sample($3, $4) }
$2 == "end" { ended = 1; words(4); end_status = word["status"] }

$2 == "mark" && is_number($3) && !($4 in mark_ms) { mark_ms[$4] = $3 }

$2 == "count" && is_number($3) {
	words(5)
	if (!($4 in mark_ms))
		mark_ms[$4] = $3
	for (key in word)
		if (is_number(word[key]) && !(($4, key) in count_of))
			count_of[$4, key] = word[key]
	if (is_number(word["rss_kib"]))
		add_sample($3, word["rss_kib"])
}

$2 == "private" && !has_private {
	has_private = 1
	words(5)
	for (key in word)
		private[key] = word[key]
}

$2 == "start" && !has_start {
	has_start = 1
	words(3)
	for (key in word)
		begin[key] = word[key]
}

$2 == "launch" && !has_launch {
	has_launch = 1
	words(3)
	for (key in word)
		launch[key] = word[key]
}

$2 == "settled" && $0 ~ / still=0( |$)/ { moving = moving SUBSEP $4 }

$2 == "result" && $3 == "hog" && $4 == "failed:" && none == "" { none = "the guest could not use its memory: " rest(5) }
$2 == "result" && $3 == "mix-on=tmpfs" { mix_in_memory = 1 }

$2 == "result" {
	words(4)
	for (key in word)
		result[$3, key] = word[key]
	has_result[$3] = 1
}

$2 == "raw" {
	words(3)
	raw[word["kind"]] = word["gib_s"]
}

END { finish() }

function start_file() {
	is_run = has_private = has_start = has_launch = ended = samples = 0
	file = FILENAME
	sub(/.*\//, "", file)
	sub(/\.txt$/, "", file)
	id = file
	mix_in_memory = 0
	moving = none = command = end_status = vmm = config = workload = cpus = round = ""
	split("", lacks)
	split("", mark_ms)
	split("", count_of)
	split("", private)
	split("", begin)
	split("", result)
	split("", has_result)
	split("", raw)
	any_file = 1
}

function is_number(text) {
	return text ~ /^-?[0-9]+(\.[0-9]+)?$/
}

# KEY=VALUE words of the line from field FIRST on, in word[].
function words(first,    i, at) {
	split("", word)
	for (i = first; i <= NF; i++) {
		at = index($i, "=")
		if (at > 1)
			word[substr($i, 1, at - 1)] = substr($i, at + 1)
	}
}

function rest(first,    i, text) {
	for (i = first; i <= NF; i++)
		text = text (i > first ? " " : "") $i
	gsub(/\t/, " ", text)
	return text
}

function add_sample(ms, kib) {
	if (samples && ms < sample_ms[samples])
		ms = sample_ms[samples]
	samples++
	sample_ms[samples] = ms + 0
	sample_kib[samples] = kib + 0
}

# --- a run's end ---

function finish() {
	if (!any_file)
		return
	any_file = 0
	if (!is_run || vmm == "" || config == "" || workload == "") {
		print file, "-", "the file does not begin with a `bench run` line: it counts for nothing" >remarks
		return
	}
	only_idle = workload == "idle"
	if (only_idle)
		workload = "start"
	if (none == "" && samples && !ended)
		none = "the run broke off: its raw file has no `bench end`"
	if (workload == "raw")
		vmm = config = cpus = "-"
	print id, vmm, config, workload, cpus, round, none, command >runs
	if (none == "" && end_status != "" && end_status != "0")
		print id, "status", "the VMM ended with status " end_status "; the run's figures count" >remarks
	if (none == "" && mix_in_memory)
		print id, "-", "the mix had its files in memory (tmpfs), not on a disk" >remarks
	if (none == "" && workload != "start")
		still_moving()
	for (key in lacks)
		print id, key, lacks[key] >remarks
	if (workload == "throughput")
		throughput_figures()
	else if (workload == "return")
		return_figures()
	else if (workload == "balloon")
		balloon_figures()
	else if (workload == "calls")
		calls_figures()
	else if (workload == "start")
		start_figures()
	else if (workload == "raw")
		raw_figures()
	if (none == "" && (workload == "return" || workload == "balloon"))
		write_series()
}

function still_moving(    count, i, part) {
	count = split(moving, part, SUBSEP)
	for (i = 2; i <= count; i++)
		print id, "-", "resident memory still moved when the wait after `" part[i] "` ended: what is said to be at rest is where it was" >remarks
}

function figure(name, unit, value) {
	if (none != "") {
		value = ""
		why = none
	}
	if (value == "" && why == "")
		why = "the run does not say it"
	print vmm, config, workload, cpus, round, id, name, unit, (value == "" ? "" : sprintf("%.10g", value)), (value == "" ? why : "")
	why = ""
}

# The functions below return "" for "not known", and say why in the variable why.

function at(mark, key) {
	if (!(mark in mark_ms)) {
		why = "the run did not come to its mark `" mark "`"
		return ""
	}
	if ((mark, key) in count_of)
		return count_of[mark, key]
	why = key in lacks ? "`" key "` could not be had: " lacks[key] : "the run has no `" key "` at its mark `" mark "`"
	return ""
}

function delta(key, from, to,    before, after) {
	before = at(from, key)
	if (before == "")
		return ""
	after = at(to, key)
	if (after == "")
		return ""
	return after - before
}

function seconds_between(from, to) {
	if (!(from in mark_ms)) {
		why = "the run did not come to its mark `" from "`"
		return ""
	}
	if (!(to in mark_ms)) {
		why = "the run did not come to its mark `" to "`"
		return ""
	}
	return (mark_ms[to] - mark_ms[from]) / 1000
}

function result_of(name, key,    value) {
	if (!(name in has_result)) {
		why = "the guest gave no result of `" name "`"
		return ""
	}
	value = result[name, key]
	if (is_number(value))
		return value
	why = "the guest's result of `" name "` has no `" key "`"
	return ""
}

# GiB that came back between two marks, by resident memory.
function came_back_gib(from, to,    kib) {
	kib = delta("rss_kib", from, to)
	return kib == "" ? "" : -kib / 1048576
}

function per_gib(value, gib) {
	if (value == "" || gib == "")
		return ""
	if (gib * 1024 < MIB_MIN) {
		why = "less than " MIB_MIN " MiB came back, by resident memory"
		return ""
	}
	return value / gib
}

# Integral of resident memory over time, in GiB x minutes: what a sample says holds until the next one.
function footprint(from, to,    begin_ms, end_ms, i, left, right, sum) {
	if (seconds_between(from, to) == "")
		return ""
	begin_ms = mark_ms[from]
	end_ms = mark_ms[to]
	if (!samples || sample_ms[1] > begin_ms) {
		why = "the run has no sample of resident memory at its mark `" from "`"
		return ""
	}
	for (i = 1; i <= samples; i++) {
		left = sample_ms[i] > begin_ms ? sample_ms[i] : begin_ms
		right = i < samples && sample_ms[i + 1] < end_ms ? sample_ms[i + 1] : end_ms
		if (right > left)
			sum += (right - left) * sample_kib[i]
	}
	return sum / 60000 / 1048576
}

function highest_kib(from, to,    i, highest) {
	if (seconds_between(from, to) == "")
		return ""
	highest = 0
	for (i = 1; i <= samples; i++)
		if (sample_ms[i] >= mark_ms[from] && sample_ms[i] <= mark_ms[to] && sample_kib[i] > highest)
			highest = sample_kib[i]
	if (!highest)
		why = "the run has no sample of resident memory"
	return highest ? highest : ""
}

# --- figures of each workload ---

function throughput_figures(    i, name, seconds, iterations) {
	for (i = 1; i <= 2; i++) {
		name = "page_fault" i
		seconds = result_of(name, "seconds")
		iterations = result_of(name, "iterations")
		figure(name, "1/s", seconds == "" || iterations == "" || seconds + 0 == 0 ? "" : iterations / seconds)
	}
}

function time_to(share, peak_kib, before_kib,    i, goal_kib) {
	if (peak_kib == "" || before_kib == "" || seconds_between("freed", "freed-done") == "")
		return ""
	if (peak_kib - before_kib < MIB_MIN * 1024) {
		why = "the guest never used " MIB_MIN " MiB more than before"
		return ""
	}
	goal_kib = peak_kib - share * (peak_kib - before_kib)
	for (i = 1; i <= samples; i++)
		if (sample_ms[i] >= mark_ms["freed"] && sample_ms[i] <= mark_ms["freed-done"] && sample_kib[i] <= goal_kib)
			return (sample_ms[i] - mark_ms["freed"]) / 1000
	why = sprintf("%.0f %% had not come back when the run stopped waiting for it", share * 100)
	return ""
}

# What was not as the guest had left it, by the guest's programs, and what its kernel complained of.
function wrongs(    of_churn, of_mix, of_kernel) {
	of_churn = result_of("churn", "wrong")
	of_mix = of_churn == "" ? "" : result_of("mix", "wrong")
	of_kernel = of_mix == "" ? "" : result_of("complaints", "wrong")
	return of_kernel == "" ? "" : of_churn + of_mix + of_kernel
}

function return_figures(    before_kib, peak_kib, rest_kib, i, share) {
	before_kib = at("ready-done", "rss_kib")
	figure("before", "MiB", before_kib == "" ? "" : before_kib / 1024)
	peak_kib = highest_kib("ready-done", "freed-done")
	figure("peak", "MiB", peak_kib == "" ? "" : peak_kib / 1024)
	rest_kib = at("freed-done", "rss_kib")
	figure("rest", "MiB", rest_kib == "" ? "" : rest_kib / 1024)
	share = ""
	if (before_kib == "" || peak_kib == "" || rest_kib == "")
		why = "peak, rest or what was before is not known"
	else if (peak_kib - before_kib < MIB_MIN * 1024)
		why = "the guest never used " MIB_MIN " MiB more than before"
	else
		share = 100 * (peak_kib - rest_kib) / (peak_kib - before_kib)
	figure("returned", "%", share)
	if (none == "" && share != "" && "freed" in mark_ms && "freed-done" in mark_ms)
		print vmm, config, cpus, round, (mark_ms["freed"] - mark_ms["ready-done"]) / 1000,
			(mark_ms["freed-done"] - mark_ms["ready-done"]) / 1000, before_kib / 1024, peak_kib / 1024 >windows
	figure("to50", "s", time_to(0.5, peak_kib, before_kib))
	figure("to90", "s", time_to(0.9, peak_kib, before_kib))
	figure("to95", "s", time_to(0.95, peak_kib, before_kib))
	figure("footprint", "GiB*min", footprint("ready-done", "mixed-done"))
	i = seconds_between("ready-done", "mixed-done")
	figure("minutes", "min", i == "" ? "" : i / 60)
	share = footprint("ready-done", "mixed-done")
	figure("mean", "GiB", share == "" || i == "" || i == 0 ? "" : share * 60 / i)
	cost_figures("freed", "freed-done")
	figure("churn", "s", result_of("churn", "seconds"))
	figure("churn_footprint", "GiB*min", footprint("churn", "churned-done"))
	figure("mix", "s", result_of("mix", "seconds"))
	figure("mix_footprint", "GiB*min", footprint("mix", "mixed-done"))
	figure("wrong", "", wrongs())
}

# What it cost to take back what came back between two marks: the sums, and by the GiB.
function cost_figures(from, to) {
	figure("window_cpu", "ms", scaled(delta("cpu_ns", from, to), 1e6))
	figure("window_exits", "", delta("exits", from, to))
	figure("window_splits", "", delta("thp_split_pmd", from, to))
	figure("came_back", "GiB", came_back_gib(from, to))
	# While memory is reported the guest's own idle work goes on: cells.awk takes that of the base away.
	if (config == "balloon")
		per_gib_figure("cpu_per_gib", "ms/GiB", "cpu_ns", 1e6, from, to)
	per_gib_figure("exits_per_gib", "1/GiB", "exits", 1, from, to)
	per_gib_figure("splits_per_gib", "1/GiB", "thp_split_pmd", 1, from, to)
}

function scaled(value, by) {
	return value == "" ? "" : value / by
}

# What is not known of the count says why before what is not known of the bytes.
function per_gib_figure(name, unit, key, by, from, to,    value, gib) {
	value = delta(key, from, to)
	gib = value == "" ? "" : came_back_gib(from, to)
	figure(name, unit, per_gib(scaled(value, by), gib))
}

# Seconds from when the balloon was told to grow until 95 % of what came back by it had: not every VMM says when it is there.
function inflated_95(    first_kib, last_kib, i) {
	first_kib = at("inflate", "rss_kib")
	last_kib = first_kib == "" ? "" : at("inflate-done", "rss_kib")
	if (last_kib == "")
		return ""
	if (first_kib - last_kib < MIB_MIN * 1024) {
		why = "less than " MIB_MIN " MiB came back, by resident memory"
		return ""
	}
	for (i = 1; i <= samples; i++)
		if (sample_ms[i] >= mark_ms["inflate"] && sample_kib[i] <= first_kib - 0.95 * (first_kib - last_kib))
			return (sample_ms[i] - mark_ms["inflate"]) / 1000
	why = "no sample of resident memory shows it"
	return ""
}

function balloon_figures() {
	figure("inflated_95", "s", inflated_95())
	figure("inflate_time", "s", seconds_between("inflate", "inflate-done"))
	figure("deflate_time", "s", seconds_between("deflate", "deflate-done"))
	cost_figures("inflate", "inflate-done")
}

function calls_figures(    from, to) {
	from = config == "balloon" ? "inflate" : "freed"
	to = from "-done"
	figure("release_calls", "", delta("release_calls", from, to))
	figure("asked", "GiB", scaled(delta("release_bytes", from, to), 1073741824))
	figure("calls_came_back", "GiB", came_back_gib(from, to))
	per_gib_figure("calls_per_gib", "1/GiB", "release_calls", 1, from, to)
}

function start_of(key) {
	if (!has_start) {
		why = "the run has no `bench start` line"
		return ""
	}
	if (is_number(begin[key]))
		return begin[key]
	why = key in lacks ? "`" key "` could not be had: " lacks[key] : "the run's `bench start` line has no `" key "`"
	return ""
}

function launch_of(key) {
	if (!has_launch)
		why = "launch" in lacks ? lacks["launch"] : "the run has no `bench launch` line"
	else if (is_number(launch[key]))
		return launch[key]
	else
		why = key in lacks ? "`" key "` could not be had: " lacks[key] : "the run's `bench launch` line has no `" key "`"
	return ""
}

function private_of(key) {
	if (!has_private) {
		why = "private" in lacks ? lacks["private"] : "the run has no `bench private` line"
		return ""
	}
	if (is_number(private[key]))
		return private[key]
	why = key in lacks ? "`" key "` could not be had: " lacks[key] : "the run's `bench private` line has no `" key "`"
	return ""
}

# Workload `idle` is the second half of `start` alone. What comes of that half takes nothing from the first.
function start_figures(    minor, major, anonymous_kib, file_kib, of_idle) {
	of_idle = none
	if (has_start)
		none = ""
	if (!only_idle) {
		figure("launch_cpu", "ms", scaled(launch_of("cpu_ns"), 1e6))
		figure("launch_syscalls", "", launch_of("syscalls"))
		figure("start_cpu", "ms", scaled(start_of("cpu_ns"), 1e6))
		figure("start_syscalls", "", start_of("syscalls"))
		minor = start_of("minflt")
		major = minor == "" ? "" : start_of("majflt")
		figure("start_faults", "", minor == "" || major == "" ? "" : minor + major)
	}
	none = of_idle
	if (!("ready" in mark_ms))
		why = "the run did not come to its mark `ready`"
	figure("userspace", "ms", "ready" in mark_ms ? mark_ms["ready"] : "")
	anonymous_kib = private_of("anonymous_kib")
	file_kib = anonymous_kib == "" ? "" : private_of("file_kib")
	figure("private", "MiB", file_kib == "" ? "" : (anonymous_kib + file_kib) / 1024)
	figure("private_anonymous", "MiB", scaled(private_of("anonymous_kib"), 1024))
}

function raw_figures(    kind, i) {
	for (i = 1; i <= 2; i++) {
		kind = i == 1 ? "thp" : "small"
		if (!is_number(raw[kind]))
			why = kind in lacks ? lacks[kind] : "the run has no `bench raw kind=" kind "` line"
		figure("raw_" kind, "GiB/s", is_number(raw[kind]) ? raw[kind] : "")
	}
}

# Time is that since the guest was ready and let alone; samples that came before have a negative one.
function write_series(    i, zero_ms) {
	if (!("ready-done" in mark_ms))
		return
	zero_ms = mark_ms["ready-done"]
	for (i = 1; i <= samples; i++)
		printf "%s,%s,%s,%.3f,%.3f,%s,%s\n", vmm, config, round, (sample_ms[i] - zero_ms) / 1000, sample_kib[i] / 1024,
			workload, cpus >series
}
