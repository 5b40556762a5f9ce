# SPDX-License-Identifier: Apache-2.0
# Whether two benches agree: awk -f order.awk -f compare.awk A/results.csv B/results.csv. Prints the cells that do not, then
# "N cells agree, M do not"; status 1 if any does not. Two cells agree where their ranges overlap, or their medians are apart
# by less than the larger of both spreads, or of 1 % (for percentages: of one point). A cell that only one of them has a figure
# for does not agree; one that neither has is not counted.

FNR == 1 { file++ }

# Of a line of CSV, fields up to the first quoted one: all that is needed here.
FNR > 1 {
	split($0, field, ",")
	name = field[1] " | " field[2] " | " field[3] " | " field[4] " | " field[5]
	if (!(name in known)) {
		known[name] = ++count
		name_of[count] = name
	}
	unit[name] = field[6]
	n[name, file] = field[7]
	middle[name, file] = field[8]
	low[name, file] = field[9]
	high[name, file] = field[10]
}

END {
	if (file != 2)
		exit 2
	for (i = 1; i <= count; i++)
		judge(name_of[i])
	if (differ)
		print ""
	printf "%d cells agree, %d do not\n", agree, differ
	exit differ ? 1 : 0
}

function judge(name,    why) {
	if (!n[name, 1] && !n[name, 2])
		return
	if (!n[name, 1] || !n[name, 2])
		why = "only one has a figure"
	else if (!agrees(name))
		why = "apart by more than the spread"
	if (why == "") {
		agree++
		return
	}
	if (!differ++)
		print "| VMM | configuration | workload | vCPUs | figure | unit | this | other | |\n" \
			"| --- | --- | --- | ---: | --- | --- | ---: | ---: | --- |"
	print "| " name " | " unit[name] " | " shown(name, 1) " | " shown(name, 2) " | " why " |"
}

function shown(name, which) {
	if (!n[name, which])
		return "–"
	if (n[name, which] == 1)
		return written(middle[name, which], unit[name])
	return written(middle[name, which], unit[name]) " (" written(low[name, which], unit[name]) "–" \
		written(high[name, which], unit[name]) ", n=" n[name, which] ")"
}

function size_of(value) {
	return value < 0 ? -value : value + 0
}

function agrees(name,    apart, spread, floor) {
	if (low[name, 1] + 0 <= high[name, 2] + 0 && low[name, 2] + 0 <= high[name, 1] + 0)
		return 1
	apart = size_of(middle[name, 1] - middle[name, 2])
	spread = high[name, 1] - low[name, 1]
	if (high[name, 2] - low[name, 2] > spread)
		spread = high[name, 2] - low[name, 2]
	floor = size_of(middle[name, 1]) > size_of(middle[name, 2]) ? size_of(middle[name, 1]) : size_of(middle[name, 2])
	floor = unit[name] == "%" ? 1 : floor / 100
	return apart < spread || apart <= floor
}
