# SPDX-License-Identifier: Apache-2.0
# Cells (what cells.awk prints, sorted) -> the report, as GitHub's Markdown. Give order.awk and targets.awk too.
# -v runs=FILE -v remarks=FILE -v facts=FILE -v plots="name name …"

BEGIN {
	FS = "\t"
	DASH = "–"
	init_order()
}

{
	name = $1 SUBSEP $2 SUBSEP $3 SUBSEP $4 SUBSEP $5
	known[name] = 1
	unit_of[name] = $6
	n_of[name] = $7
	median[name] = $8
	lowest[name] = $9
	highest[name] = $10
	why_of[name] = $11
	most = $7 > most ? $7 : most
	note_row($3, $1, $2, $4)
}

END {
	read_facts()
	head()
	throughput_table("page_fault1", "map 128 MiB of anonymous memory, touch every page, unmap")
	throughput_table("page_fault2", "the same with a private mapping of a file, so that each write copies a page of the page cache")
	picture("loss", "Loss of guest throughput")
	return_table()
	picture("resident", "Resident memory over time")
	picture("resident-by-vmm", "Resident memory over time, by VMM")
	picture("return", "Share of what was freed that came back, over time")
	cost_table()
	picture("efficiency", "Release calls and CPU by the GiB")
	work_table()
	start_table()
	target_table()
	gaps_table()
	machine()
}

# --- rows and columns ---

# Rows come in the order of the cells, which are sorted; vCPUs in that of numbers.
function note_row(workload, vmm, config, cpus) {
	if (!((workload, vmm, config) in seen_row)) {
		seen_row[workload, vmm, config] = 1
		row_count[workload]++
		row_vmm[workload, row_count[workload]] = vmm
		row_config[workload, row_count[workload]] = config
	}
	if (!((workload, cpus) in seen_cpus)) {
		seen_cpus[workload, cpus] = 1
		cpus_list[workload] = with_number(cpus_list[workload], cpus)
	}
	if (!(vmm in seen_vmm) && vmm != "-") {
		seen_vmm[vmm] = 1
		vmms[++vmm_count] = vmm
	}
}

# A sorted list of numbers, as words, with one more.
function with_number(list, number,    count, i, part, text) {
	count = split(list, part, " ")
	part[++count] = number
	sort_numbers(part, count)
	for (i = 1; i <= count; i++)
		text = text (i > 1 ? " " : "") part[i]
	return text
}

# --- cells and their notes ---

function note(text,    i) {
	for (i = 1; i <= notes; i++)
		if (note_text[i] == text)
			return "<sup>" i "</sup>"
	note_text[++notes] = text
	return "<sup>" notes "</sup>"
}

function print_notes(    i) {
	for (i = 1; i <= notes; i++)
		printf "<sup>%d</sup> %s%s\n", i, escaped(note_text[i]), i < notes ? "<br>" : "\n"
	notes = 0
}

# Words of others must not become marks of the text.
function escaped(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	gsub(/\|/, "\\&#124;", text)
	return text
}

function name_of(vmm, config, workload, cpus, figure) {
	return vmm SUBSEP config SUBSEP workload SUBSEP cpus SUBSEP figure
}

function has(name) {
	return name in known && n_of[name] > 0
}

# "median (min–max, n=N)", as the unit is written; "median (n=N)" where they are written the same.
function figures_of(name,    text) {
	text = written(median[name], unit_of[name])
	if (n_of[name] > 1)
		text = text " (" range_of(written(lowest[name], unit_of[name]), written(highest[name], unit_of[name])) "n=" n_of[name] ")"
	return text
}

function range_of(low, high) {
	return low == high ? "" : low "–" high ", "
}

function reason_of(name) {
	if (!(name in known))
		return "no such run was planned" (fact["mode"] == "" ? "" : " (" fact["mode"] ")")
	return why_of[name]
}

function cell(vmm, config, workload, cpus, figure,    name) {
	name = name_of(vmm, config, workload, cpus, figure)
	if (!has(name))
		return DASH note(reason_of(name))
	return figures_of(name) (why_of[name] == "" ? "" : note(why_of[name]))
}

function header(text,    count, i, part) {
	count = split(text, part, "|")
	printf "|"
	for (i = 1; i <= count; i++)
		printf " %s |", part[i]
	printf "\n|"
	for (i = 1; i <= count; i++)
		printf i <= 2 ? " --- |" : " ---: |"
	printf "\n"
}

function no_run(workload) {
	if (row_count[workload])
		return 0
	print "No run of `" workload "` was planned.\n"
	return 1
}

function picture(name, title) {
	if (index(" " plots " ", " " name " "))
		print "![" title "](plots/" name ".png)\n"
}

function vcpus(cpus) {
	return cpus (cpus == 1 ? " vCPU" : " vCPUs")
}

# --- the report ---

function head() {
	print "# Memory return, measured\n"
	if (fact["note"] != "")
		print "> **" escaped(fact["note"]) "**\n"
	print "A cell is the median of its runs, with (lowest–highest, n = number of runs) where there was more than one. \"" DASH "\" is a" \
		"\nfigure that could not be taken; the note under the table says why. What each figure means: docs/benchmarking.md." \
		"\nAll cells: [results.csv](results.csv); resident memory over time: [series.csv](series.csv); each run's own words: raw/.\n"
	if (clock_of() == "instructions")
		print "Time here is a count of instructions (1 ns each) in an emulated host: counts and ratios hold, seconds are none of real" \
			"\nhardware, and what caches, the TLB and exits cost is not in them.\n"
	else if (fact["emulated"] ~ /^yes/)
		print "The host is emulated: counts hold; seconds say how fast the emulator was.\n"
}

function clock_of(    line, clock) {
	while ((getline line <facts) > 0)
		if (line ~ /^bench clock /)
			clock = substr(line, 13)
	close(facts)
	return clock
}

function throughput_table(figure, what,    count, i, j, part, text, vmm, config) {
	print "## " (figure == "page_fault1" ? "1a" : "1b") ". Guest throughput: " figure "\n"
	if (no_run("throughput"))
		return
	count = split(cpus_list["throughput"], part, " ")
	text = "VMM|configuration"
	for (i = 1; i <= count; i++)
		text = text "|" vcpus(part[i]) ", pages/s|loss, %"
	header(text)
	for (j = 1; j <= row_count["throughput"]; j++) {
		vmm = row_vmm["throughput", j]
		config = row_config["throughput", j]
		printf "| %s | %s |", vmm, config
		for (i = 1; i <= count; i++)
			printf " %s | %s |", cell(vmm, config, "throughput", part[i], figure), against_cell(vmm, config, "throughput", part[i], figure "_loss")
		printf "\n"
	}
	print "\n" toupper(substr(what, 1, 1)) substr(what, 2) "; a process for each vCPU. Iterations (pages touched) of all processes by their" \
		"\nseconds. Loss = (off − this) / off, each round by itself; `poison` is held against `poison-off`.\n"
	print_notes()
}

# What is itself the base has no loss.
# Of what is held against the base, in the base's own row.
function against_cell(vmm, config, workload, cpus, figure) {
	return config ~ /^(poison-)?off$/ ? "base" : cell(vmm, config, workload, cpus, figure)
}

function with_cpus(workload, cpus) {
	return cpus_list[workload] ~ / / ? ", " vcpus(cpus) : ""
}

# The rows of a workload's table, a column a figure.
function figure_rows(workload, figures,    numbers, columns, i, j, k, part, column, vmm, config) {
	numbers = split(cpus_list[workload], part, " ")
	columns = split(figures, column, " ")
	for (j = 1; j <= row_count[workload]; j++)
		for (i = 1; i <= numbers; i++) {
			vmm = row_vmm[workload, j]
			config = row_config[workload, j]
			printf "| %s | %s%s |", vmm, config, with_cpus(workload, part[i])
			for (k = 1; k <= columns; k++)
				printf " %s |", column[k] ~ /_(loss|of_base)$/ ? against_cell(vmm, config, workload, part[i], column[k]) : cell(vmm, config, workload, part[i], column[k])
			print ""
		}
}

function return_table() {
	print "## 2. Memory returned\n"
	if (no_run("return"))
		return
	header("VMM|configuration|peak, MiB|at rest, MiB|came back, %|50 %, s|90 %, s|95 %, s|GiB×min|of off, %|mean, GiB|of off, %")
	figure_rows("return", "peak rest returned to50 to90 to95 footprint footprint_of_base mean mean_of_base")
	print "\nResident memory of the VMM's process, guest memory included. Peak: the most before the wait for the return ended; at rest: at its" \
		"\nend; came back = (peak − at rest) / (peak − before). 50, 90, 95 %: seconds from when the guest had freed its memory until resident" \
		"\nmemory first was at or below peak − that share × (peak − before). GiB×min: resident memory summed up over the time from before the" \
		"\nfirst use to the end of the last wait, a step function of the samples; mean: the same by its minutes. Of" \
		"\noff: each round by itself. A lazy release stays resident until the kernel takes it.\n"
	print_notes()
}

# The ways memory comes back: workload and configuration of the run, that of the run which counted its calls, and its name.
function ways(    count, i, list) {
	count = split("on lazy order0 poison balloon", list, " ")
	for (i = 1; i <= count; i++) {
		way_config[i] = list[i]
		way_workload[i] = list[i] == "balloon" ? "balloon" : "return"
	}
	way_name["on"] = "reporting"
	way_name["lazy"] = "lazy"
	way_name["order0"] = "order 0"
	way_name["poison"] = "poison"
	way_name["balloon"] = "inflate"
	return count
}

function cost_table(    count, i, j, v, part, numbers) {
	print "## 3. What the return costs, by the GiB\n"
	if (!row_count["return"] && !row_count["balloon"] && no_run("calls"))
		return
	header("VMM|way|came back, GiB|release calls/GiB|THP splits/GiB|exits/GiB|CPU, ms/GiB|GiB by s of CPU|of the raw limit, %|95 %, s")
	count = ways()
	for (v = 1; v <= vmm_count; v++)
		for (j = 1; j <= count; j++) {
			numbers = split(cpus_list[way_workload[j]] == "" ? cpus_list["calls"] : cpus_list[way_workload[j]], part, " ")
			for (i = 1; i <= numbers; i++)
				cost_row(vmms[v], way_config[j], way_workload[j], part[i])
		}
	print "\nWhat was counted while memory came back (from `freed` to the end of the wait, or while the balloon was inflated), by the GiB that" \
		"\ncame back by resident memory, not by what was asked. Release calls: madvise, process_madvise and fallocate that give memory back," \
		"\nfrom runs of their own (`calls`), of which no time is taken. THP splits: thp_split_pmd of the whole host. Exits: KVM's count. CPU:" \
		"\nof the VMM's process in all, vCPUs too, as QEMU does this on a vCPU's thread and ebb on one of its own: so the guest's own part, its driver's, is in" \
		"\nit; of reporting without what the base took in the same time. Raw limit: one madvise over memory of huge pages in" \
		"\nthe same session" raw_words() ". 95 %: seconds until that share was back; of reporting as in\ntable 2, of inflating since the balloon was told to grow, of what came back by it in all.\n"
	print_notes()
}

function raw_words(    thp, small) {
	thp = name_of("-", "-", "raw", "-", "raw_thp")
	small = name_of("-", "-", "raw", "-", "raw_small")
	if (!has(thp))
		return " (not measured: " (thp in known ? escaped(why_of[thp]) : "no run of `raw` was planned") ")"
	return ", " figures_of(thp) " GiB/s" (has(small) ? " (of small pages: " figures_of(small) " GiB/s)" : "")
}

# A lazy release is divided by what it offered.
function cost_cell(vmm, config, workload, cpus, figure) {
	if (config == "lazy") {
		if (name_of(vmm, config, workload, cpus, figure "_offered") in known)
			return offered(cell(vmm, config, workload, cpus, figure "_offered"))
	}
	return cell(vmm, config, workload, cpus, figure)
}

function offered(text) {
	return text ~ /^–/ ? text : text note("by the GiB offered to the kernel, which its `calls` runs counted: a lazy release leaves memory resident until the kernel takes it")
}

function cost_row(vmm, config, workload, cpus) {
	if (!((workload, vmm, config) in seen_row) && !(("calls", vmm, config) in seen_row))
		return
	printf "| %s | %s%s | %s | %s | %s | %s | %s | %s | %s | %s |\n", vmm, way_name[config], with_cpus(workload, cpus),
		cell(vmm, config, workload, cpus, "came_back"), cost_cell(vmm, config, "calls", cpus, "calls_per_gib"),
		cost_cell(vmm, config, workload, cpus, "splits_per_gib"), cost_cell(vmm, config, workload, cpus, "exits_per_gib"),
		cost_cell(vmm, config, workload, cpus, "cpu_per_gib"), cell(vmm, config, workload, cpus, "gib_per_cpu_s"),
		cell(vmm, config, workload, cpus, "raw_share"),
		config == "balloon" ? cell(vmm, config, workload, cpus, "inflated_95") : cell(vmm, config, workload, cpus, "to95")
}

function work_table() {
	print "## 4. Work with the memory that came back: churn and mix\n"
	if (no_run("return"))
		return
	header("VMM|configuration|churn, s|loss, %|GiB×min|mix, s|loss, %|GiB×min|wrong")
	figure_rows("return", "churn churn_loss churn_footprint mix mix_loss mix_footprint wrong")
	print "\nThe guest's own seconds for a fixed amount of work: memory used and freed again and again with a pattern that is verified," \
		"\nand a build-like mix of processes and files. Wrong: what was found changed, and what the guest's kernel complained of; it must be 0. Loss = (this − off) / off, each round by itself; `poison` is held against" \
		"\n`poison-off`. GiB×min: from the work's beginning to the end of the wait after it.\n"
	print_notes()
}

function start_table() {
	print "## 5. Start, and memory beside the guest's\n"
	if (no_run("start"))
		return
	header("VMM|configuration|small guest: CPU to the first KVM_RUN, ms|system calls|kernel and initrd: CPU to the first KVM_RUN, ms|system calls|page faults|to userspace, ms|private memory, MiB|of it anonymous, MiB")
	figure_rows("start", "launch_cpu launch_syscalls start_cpu start_syscalls start_faults userspace private private_anonymous")
	print "\nFrom exec to the first KVM_RUN: CPU of all threads, their system calls (of a second start, which is traced), page faults, small and" \
		"\nlarge; once of a guest of some KiB (ebb's selftest guest), which shows the VMM alone, and once of the stock kernel and its initrd, where what is" \
		"\nread into guest memory before the start counts as well (QEMU copies it later, while the guest runs). To userspace: from exec until the guest's first program speaks. Private memory: Private_Clean and Private_Dirty of smaps of the idle" \
		"\nVMM, guest memory left out; what of it is not anonymous is pages of its program and libraries that no other process maps.\n"
	print_notes()
}

# --- what could not run, and where all of this was ---

# A row for each VMM, configuration and reason; what it kept from running is gathered in it.
function gaps_table(    line, part, key, count, i, keys, place) {
	print "## 7. What could not run, and why\n"
	while ((getline line <runs) > 0) {
		split(line, part, "\t")
		total++
		run_of[part[1]] = part[2] ", " part[3] ", " place_of(part[4], part[5])
		if (part[7] == "")
			continue
		key = sort_word("vmm", part[2]) "\t" sort_word("config", part[3]) "\t" part[7] "\t" part[2] "\t" part[3]
		place = place_of(part[4], part[5])
		if (!times[key]++)
			keys[++count] = key
		if (!times[key, place]++)
			places[key] = places[key] (places[key] == "" ? "" : "; ") place
	}
	close(runs)
	sort_words(keys, count)
	if (count)
		print "| VMM | configuration | runs | of | why |\n| --- | --- | ---: | --- | --- |"
	for (i = 1; i <= count; i++) {
		split(keys[i], part, "\t")
		print "| " part[4] " | " part[5] " | " times[keys[i]] " | " places[keys[i]] " | " escaped(part[3]) " |"
	}
	print count ? "" : "Each of the " total + 0 " planned runs ran to its end.\n"
	remarks_list()
}

function place_of(workload, cpus) {
	return workload (cpus == "-" ? "" : ", " vcpus(cpus))
}

function remarks_list(    line, part, count, i, keys, seen, first, what) {
	while ((getline line <remarks) > 0) {
		split(line, part, "\t")
		what = part[2] == "-" || part[2] == "status" ? part[3] : "`" part[2] "` could not be had: " part[3]
		if (!((what) in seen)) {
			keys[++count] = what
			first[what] = part[1] (part[1] in run_of ? " (" run_of[part[1]] ")" : "")
		}
		seen[what]++
	}
	close(remarks)
	for (i = 1; i <= count; i++)
		print "* " escaped(keys[i]) ": run " first[keys[i]] (seen[keys[i]] > 1 ? " and " seen[keys[i]] - 1 " more" : "")
	if (count)
		print ""
}

function read_facts(    line, part) {
	while ((getline line <facts) > 0) {
		if (line !~ /^bench fact /)
			continue
		sub(/^bench fact /, "", line)
		split(line, part, " ")
		if (!(part[1] in fact))
			fact_name[++fact_count] = part[1]
		fact[part[1]] = fact[part[1]] (fact[part[1]] == "" ? "" : "; ") substr(line, length(part[1]) + 2)
	}
	close(facts)
}

function machine(    i, line, part, key, keys, count) {
	print "## 8. Machine, kernels, commands\n"
	print "| fact | value |\n| --- | --- |"
	for (i = 1; i <= fact_count; i++)
		print "| " escaped(fact_name[i]) " | " escaped(fact[fact_name[i]]) " |"
	print "\nThe command of the first run of each kind; those of the others are in raw/.\n"
	print "```"
	while ((getline line <runs) > 0) {
		split(line, part, "\t")
		key = sort_word("vmm", part[2]) sort_word("config", part[3]) sort_word("workload", part[4]) sprintf("%06d", part[5])
		if (part[8] == "" || key in shown)
			continue
		keys[++count] = key
		gsub(/```/, "\047\047\047", part[8])
		shown[key] = "# " part[2] ", " part[3] ", " place_of(part[4], part[5]) "\n" part[8]
	}
	close(runs)
	sort_words(keys, count)
	for (i = 1; i <= count; i++)
		print shown[keys[i]]
	print "```"
}
