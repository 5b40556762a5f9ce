# SPDX-License-Identifier: Apache-2.0
# Table 6: ebb beside each peer that was there, and what is asked of it. A part of tables.awk.

function target_table() {
	print "## 6. Targets\n"
	if (!("ebb" in seen_vmm)) {
		print "No run of ebb: there is nothing to hold against its targets.\n"
		return
	}
	if (vmm_count == 1) {
		print "No peer ran beside ebb.\n"
		return
	}
	print "| target | asked | peer | ebb | peer's | peer's : ebb | |\n| --- | --- | --- | ---: | ---: | ---: | --- |"
	ratio_rows("inflate: release calls/GiB", 250, "calls", "balloon", "calls_per_gib", "")
	ratio_rows("reporting: release calls/GiB", 30, "calls", "on", "calls_per_gib", "")
	ratio_rows("inflate: CPU, the guest's part with it, ms/GiB", 3, "balloon", "balloon", "cpu_per_gib", "")
	ratio_rows("CPU to the first KVM_RUN, small guest, ms", 20, "start", "off", "launch_cpu", "qemu-microvm")
	ratio_rows("CPU to the first KVM_RUN, kernel and initrd, ms", 20, "start", "off", "start_cpu", "qemu-microvm")
	ratio_rows("private memory, MiB", 20, "start", "off", "private", "")
	ratio_rows("its anonymous part, MiB", 20, "start", "off", "private_anonymous", "")
	loss_rows("throughput", "page_fault1")
	loss_rows("throughput", "page_fault2")
	loss_rows("return", "churn")
	loss_rows("return", "mix")
	print "\nMedians, with their spread, of the tables above. The targets are set against QEMU; what kvmtool has is shown beside it. A loss is" \
		"\nmet where ebb's median is at most the peer's.\n"
	print_notes()
}

# At least so many times less than the peer. Only: the one peer that it is set against.
function ratio_rows(title, least, workload, config, figure, only,    count, i, v, part) {
	if (cpus_list[workload] == "") {
		target_row(title, "≥ " least, "–", DASH note("no run of `" workload "` was planned"), DASH, DASH, "not measured")
		return
	}
	if (only != "" && !(only in seen_vmm)) {
		target_row(title, "≥ " least, only, DASH, DASH note("no run of " only " was planned"), DASH, "not measured")
		return
	}
	count = split(cpus_list[workload], part, " ")
	for (v = 1; v <= vmm_count; v++)
		for (i = 1; i <= count; i++)
			if (vmms[v] != "ebb" && (only == "" || vmms[v] == only))
				ratio_row(title with_cpus(workload, part[i]), least, vmms[v], workload, config, part[i], figure)
}

function ratio_row(title, least, peer, workload, config, cpus, figure,    ours, theirs, ratio, verdict) {
	ours = name_of("ebb", config, workload, cpus, figure)
	theirs = name_of(peer, config, workload, cpus, figure)
	ratio = DASH
	if (!has(ours) || !has(theirs)) {
		verdict = "not measured"
	} else if (median[ours] <= 0) {
		ratio = median[theirs] > 0 ? "ebb has none" : "both have none"
		verdict = median[theirs] > 0 ? "met" : "not met"
	} else {
		ratio = written(median[theirs] / median[ours], "")
		verdict = median[theirs] / median[ours] >= least ? "met" : "**not met**"
	}
	if (peer !~ /^qemu-/ && verdict != "not measured")
		verdict = "no target"
	target_row(title, "≥ " least, peer, cell("ebb", config, workload, cpus, figure), cell(peer, config, workload, cpus, figure),
		ratio, verdict)
}

function loss_rows(workload, figure,    count, i, v, part) {
	if (cpus_list[workload] == "") {
		target_row("loss with reporting on: " figure ", %", "≤ peer's", "–", DASH note("no run of `" workload "` was planned"),
			DASH, "", "not measured")
		return
	}
	count = split(cpus_list[workload], part, " ")
	for (v = 1; v <= vmm_count; v++)
		for (i = 1; i <= count; i++)
			if (vmms[v] != "ebb")
				loss_row(vmms[v], workload, part[i], figure)
}

function loss_row(peer, workload, cpus, figure,    ours, theirs, verdict) {
	ours = name_of("ebb", "on", workload, cpus, figure "_loss")
	theirs = name_of(peer, "on", workload, cpus, figure "_loss")
	if (!has(ours) || !has(theirs))
		verdict = "not measured"
	else if (median[ours] <= median[theirs])
		verdict = "met"
	else
		verdict = "**not met**" (lowest[ours] <= highest[theirs] ? ", within the spread" : "")
	if (peer !~ /^qemu-/ && verdict != "not measured")
		verdict = "no target"
	target_row("loss with reporting on: " figure ", %" with_cpus(workload, cpus), "≤ peer's", peer,
		cell("ebb", "on", workload, cpus, figure "_loss"), cell(peer, "on", workload, cpus, figure "_loss"), "", verdict)
}

function target_row(title, asked, peer, ours, theirs, ratio, verdict) {
	print "| " title " | " asked " | " peer " | " ours " | " theirs " | " ratio " | " verdict " |"
}
