# SPDX-License-Identifier: Apache-2.0
# Figures of runs (what runs.awk prints) -> cells, one a line on stdout, fields by tabs, behind a field to sort them by:
#   key vmm config workload cpus figure unit n median min max why
# Adds the figures that take two runs: losses against the base of the same round, shares of the raw limit, and what a lazy
# release costs by the GiB that it offers. Give order.awk first.

BEGIN {
	FS = OFS = "\t"
	init_order()
}

{
	rows++
	vmm[rows] = $1
	config[rows] = $2
	workload[rows] = $3
	cpus[rows] = $4
	round[rows] = $5
	figure[rows] = $7
	value[rows] = $9
	why_not[rows] = $10
	row_of[$1, $2, $3, $4, $5, $7] = rows
	add($1, $2, $3, $4, $7, $8, $9, $10)
	if ($9 != "" && ($7 == "raw_thp" || $7 == "asked"))
		remember($7 == "asked" ? $1 SUBSEP $2 SUBSEP $4 : "", $9)
}

END {
	for (i = 1; i <= rows; i++)
		derive(i)
	for (i = 1; i <= cells; i++)
		print_cell(i)
}

function add(vmm, config, workload, cpus, figure, unit, value, why,    name, cell) {
	name = vmm SUBSEP config SUBSEP workload SUBSEP cpus SUBSEP figure
	if (!(name in cell_of)) {
		cell_of[name] = ++cells
		cell_vmm[cells] = vmm
		cell_config[cells] = config
		cell_workload[cells] = workload
		cell_cpus[cells] = cpus
		cell_figure[cells] = figure
		cell_unit[cells] = unit
		n[cells] = whys[cells] = planned[cells] = 0
	}
	cell = cell_of[name]
	planned[cell]++
	if (value != "") {
		values[cell, ++n[cell]] = value + 0
		return
	}
	if (!((cell, why) in times)) {
		whys[cell]++
		why_of[cell, whys[cell]] = why
	}
	times[cell, why]++
}

function remember(name, value) {
	list_of[name, ++count_of[name]] = value
}

# The median of what was remembered, or "".
function recalled(name,    i, list) {
	if (!count_of[name])
		return ""
	for (i = 1; i <= count_of[name]; i++)
		list[i] = list_of[name, i]
	sort_numbers(list, count_of[name])
	return median_of(list, count_of[name])
}

function base_of(config) {
	if (config == "off" || config == "poison-off" || config == "balloon")
		return ""
	return config == "poison" ? "poison-off" : "off"
}

function derive(i) {
	if (figure[i] == "page_fault1" || figure[i] == "page_fault2")
		against_base(i, "_loss", "loss")
	else if (figure[i] == "churn" || figure[i] == "mix")
		against_base(i, "_loss", "slower")
	else if (figure[i] == "footprint" || figure[i] == "mean")
		against_base(i, "_of_base", "share")
	else if (figure[i] == "cpu_per_gib")
		cpu_speed(i, value[i], why_not[i])
	else if (figure[i] == "window_cpu")
		net_cpu(i)
	else if (config[i] == "lazy" && figure[i] == "release_calls")
		by_offered(i, value[i], "calls_per_gib_offered", "1/GiB")
	else if (config[i] == "lazy" && figure[i] == "window_exits")
		by_offered(i, value[i], "exits_per_gib_offered", "1/GiB")
	else if (config[i] == "lazy" && figure[i] == "window_splits")
		by_offered(i, value[i], "splits_per_gib_offered", "1/GiB")
}

function against_base(i, suffix, how,    base, row, result, why) {
	base = base_of(config[i])
	if (base == "")
		return
	row = row_of[vmm[i], base, workload[i], cpus[i], round[i], figure[i]]
	result = ""
	if (value[i] == "")
		why = why_not[i]
	else if (row == "")
		why = "no run with `" base "` in the same round to compare with"
	else if (value[row] == "" || value[row] == 0)
		why = "the run with `" base "` in the same round gave no figure to compare with"
	else if (how == "loss")
		result = 100 * (value[row] - value[i]) / value[row]
	else if (how == "slower")
		result = 100 * (value[i] - value[row]) / value[row]
	else
		result = 100 * value[i] / value[row]
	add(vmm[i], config[i], workload[i], cpus[i], figure[i] suffix, "%", result, why)
}

# CPU of the VMM's process while memory came back, without what a guest that reports nothing takes in that time.
function net_cpu(i,    base, row, back, net, per_gib, why) {
	base = base_of(config[i])
	if (base == "")
		return
	row = row_of[vmm[i], base, workload[i], cpus[i], round[i], figure[i]]
	back = row_of[vmm[i], config[i], workload[i], cpus[i], round[i], "came_back"]
	net = per_gib = ""
	if (value[i] == "")
		why = why_not[i]
	else if (row == "")
		why = "no run with `" base "` in the same round, whose idle work is taken away"
	else if (value[row] == "")
		why = "the run with `" base "` in the same round gave no figure, whose idle work is taken away"
	else if (value[i] - value[row] <= 0)
		why = "no more CPU was taken than with `" base "`"
	else
		net = value[i] - value[row]
	if (config[i] == "lazy")
		by_offered(i, net, "cpu_per_gib_offered", "ms/GiB", why)
	if (net != "" && (back == "" || value[back] == ""))
		why = back == "" ? "how much came back is not known" : why_not[back]
	else if (net != "" && value[back] < 16 / 1024)
		why = "less than 16 MiB came back, by resident memory"
	else if (net != "")
		per_gib = net / value[back]
	add(vmm[i], config[i], workload[i], cpus[i], "cpu_per_gib", "ms/GiB", per_gib, why)
	cpu_speed(i, per_gib, why)
}

function cpu_speed(i, per_gib, why,    speed, raw) {
	speed = per_gib > 0 ? 1000 / per_gib : ""
	add(vmm[i], config[i], workload[i], cpus[i], "gib_per_cpu_s", "GiB/s", speed,
		per_gib == "" ? why : "no CPU was counted")
	raw = recalled("")
	add(vmm[i], config[i], workload[i], cpus[i], "raw_share", "%", speed == "" || raw == "" ? "" : 100 * speed / raw,
		per_gib == "" ? why : raw == "" ? "the raw limit is not known" : "no CPU was counted")
}

# What a lazy release hands over stays resident until the kernel wants it: its costs are also divided by what was offered, as
# the `calls` runs of the same configuration counted it.
function by_offered(i, amount, name, unit, why,    gib, result) {
	gib = recalled(vmm[i] SUBSEP config[i] SUBSEP cpus[i])
	result = ""
	if (amount == "")
		why = why == "" ? why_not[i] : why
	else if (gib == "")
		why = "no `calls` run of this configuration says how much was offered"
	else if (gib < 16 / 1024)
		why = "less than 16 MiB was offered"
	else
		result = amount / gib
	add(vmm[i], config[i], workload[i], cpus[i], name, unit, result, why)
}

function number(value) {
	return sprintf("%.10g", value)
}

# Why planned runs gave no figure: of a cell without any, and of one with fewer than were planned.
function print_cell(cell,    i, list, why, one) {
	for (i = 1; i <= n[cell]; i++)
		list[i] = values[cell, i]
	sort_numbers(list, n[cell])
	for (i = 1; i <= whys[cell]; i++) {
		one = why_of[cell, i]
		if (n[cell] || whys[cell] > 1)
			one = times[cell, one] " of " planned[cell] (planned[cell] == 1 ? " run: " : " runs: ") one
		why = why (i > 1 ? "; " : "") one
	}
	printf "%s!%s!%s!%06d!%s\t", sort_word("vmm", cell_vmm[cell]), sort_word("config", cell_config[cell]),
		sort_word("workload", cell_workload[cell]), cell_cpus[cell], cell_figure[cell]
	print cell_vmm[cell], cell_config[cell], cell_workload[cell], cell_cpus[cell], cell_figure[cell], cell_unit[cell],
		n[cell] + 0, n[cell] ? number(median_of(list, n[cell])) : "", n[cell] ? number(list[1]) : "",
		n[cell] ? number(list[n[cell]]) : "", why
}
