# SPDX-License-Identifier: Apache-2.0
# What the programs of the report share: the fixed order of everything, medians, how a figure is written. Plain awk.

function init_order(    count, i, list) {
	count = split("ebb qemu-pc qemu-microvm kvmtool", list, " ")
	for (i = 1; i <= count; i++)
		rank_of["vmm", list[i]] = i
	count = split("off held on lazy order0 poison-off poison balloon", list, " ")
	for (i = 1; i <= count; i++)
		rank_of["config", list[i]] = i
	count = split("throughput return balloon calls start raw", list, " ")
	for (i = 1; i <= count; i++)
		rank_of["workload", list[i]] = i
}

# A word that sorts, as bytes, where NAME belongs; names that are not known come last, by themselves.
function sort_word(kind, name) {
	return sprintf("%02d%s", (kind, name) in rank_of ? rank_of[kind, name] : 90, name)
}

# Sorts list[1..count] as numbers.
function sort_numbers(list, count,    i, j, value) {
	for (i = 2; i <= count; i++) {
		value = list[i] + 0
		for (j = i - 1; j >= 1 && list[j] + 0 > value; j--)
			list[j + 1] = list[j]
		list[j + 1] = value
	}
}

# The same as words.
function sort_words(list, count,    i, j, value) {
	for (i = 2; i <= count; i++) {
		value = list[i] ""
		for (j = i - 1; j >= 1 && list[j] "" > value; j--)
			list[j + 1] = list[j]
		list[j + 1] = value
	}
}

# Of a sorted list.
function median_of(list, count) {
	if (count % 2)
		return list[(count + 1) / 2]
	return (list[count / 2] + list[count / 2 + 1]) / 2
}

# Three digits that count, or whole numbers; a percentage has two places, a signed one its sign.
function written(value, unit,    size) {
	size = value < 0 ? -value : value
	if (unit == "%")
		return sprintf("%.2f", value)
	if (size >= 100 || size == int(size))
		return sprintf("%.0f", value)
	if (size >= 10)
		return sprintf("%.1f", value)
	if (size >= 1)
		return sprintf("%.2f", value)
	if (size >= 0.01)
		return sprintf("%.3f", value)
	return sprintf("%.2g", value)
}
