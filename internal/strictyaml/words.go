package strictyaml

import (
	"slices"
	"strconv"
	"strings"
)

// Quote quotes text for a problem, cuts it when it is long, and shows no more
// than the scheme of an URL, which may hold a password.
func Quote(s string) string {
	s = mask(s)
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return strconv.Quote(s)
}

// mask cuts text behind the scheme of an URL.
func mask(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		return s[:i] + "://…"
	}
	return s
}

// OneOf lists allowed values: "a, b or c".
func OneOf(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// DidYouMean is `; did you mean "fps"?` when one of the known words is close
// to the given one, else empty.
func DidYouMean(given string, known []string) string {
	given = strings.ToLower(given)
	best, at := "", len(given)/3+1
	for _, k := range known {
		if len(k) < 2 || len(given) > 64 {
			continue
		}
		if d := distance(given, k); d <= at && d < len(k) {
			best, at = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{cost, row[j] + 1, row[j+1] + 1})
		}
	}
	return row[len(b)]
}
